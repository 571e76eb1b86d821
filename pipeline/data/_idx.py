"""MNIST and sets in its format: four gzipped idx files, checked, downloaded where they are missing."""

from __future__ import annotations

import gzip
import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from pipeline.data._arrays import Arrays, divided
from pipeline.data._root import DATA, data_root, fetch
from pipeline.dataset import DataSet, Source
from pipeline.errors import DataError
from pipeline.progress import Progress, silent
from pipeline.spec import InputSpec, Positive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNSIGNED_BYTES = 0x08


class IdxSource(Source):
    """Grey images in MNIST's files: 60,000 to train with and 10,000 for the test.

    Attributes:
        size: edge of the network's input, in pixels.
        validation: share of the training images kept for validation, each class alike.
    """

    name: ClassVar[str]  # torchvision's class, and its folder
    title: ClassVar[str]
    mean: ClassVar[float]
    std: ClassVar[float]
    size: Positive = 28
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1

    @property
    def folder(self) -> Path:
        """Where the four files belong: torchvision's own layout."""
        return data_root() / self.kind / self.name / "raw"

    def load(self, progress: Progress = silent) -> DataSet:
        from torchvision import datasets

        published = getattr(datasets, self.name)
        names = tuple(name for name, _ in published.resources)
        if not all((self.folder / name).is_file() for name in names):
            fix = f"put {', '.join(names)} into {self.folder} (${DATA} names another root)"
            fetch(self.title, lambda: published(str(self.folder.parent.parent), download=True), fix)
        arrays = [read_idx(checked(self.folder / name, md5)) for name, md5 in published.resources]
        return self._divided(arrays)

    def _divided(self, arrays: list[NDArray[np.uint8]]) -> DataSet:
        import numpy as np

        x_train, y_train, x_test, y_test = arrays
        spec = InputSpec(size=(self.size, self.size), resize=self.size, color="L", mean=(self.mean,), std=(self.std,))
        train = Arrays(x_train[..., None], y_train.astype(np.int64))
        test = Arrays(x_test[..., None], y_test.astype(np.int64))
        return divided(train, test, self.classes(), spec, self.validation, self.title)

    def classes(self) -> tuple[str, ...]:
        """Names of the ten classes."""
        return tuple(str(digit) for digit in range(10))


def checked(file: Path, md5: str) -> bytes:
    """A file's bytes, if they are the published ones.

    Raises:
        DataError: the file is missing, or another.
    """
    if not file.is_file():
        raise DataError(f"{file} is missing", "put the published file there")
    content = file.read_bytes()
    found = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if found != md5:
        cause = f"{file} is not the published file: its md5 is {found}, not {md5}"
        raise DataError(cause, "delete it and run again, or put the published file there")
    return content


def read_idx(packed: bytes) -> NDArray[np.uint8]:
    """The array of a gzipped idx file of unsigned bytes.

    Raises:
        DataError: it is none.
    """
    import numpy as np

    try:
        content = gzip.decompress(packed)
    except (OSError, EOFError) as error:
        raise DataError(f"an idx file cannot be unpacked: {error}") from None
    kind, axes = content[2:4] if len(content) > 3 else (0, 0)
    shape = tuple(np.frombuffer(content, ">u4", axes, 4).tolist()) if len(content) >= 4 + 4 * axes else ()
    if kind != UNSIGNED_BYTES or not shape or len(content) != 4 + 4 * axes + math.prod(shape):
        raise DataError("an idx file does not hold the bytes that its header promises")
    array: NDArray[Any] = np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)
    return array
