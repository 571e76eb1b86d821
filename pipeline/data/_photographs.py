"""Photographs that stay in their files until somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.data._decode import decode, decode_grey
from pipeline.images import Images
from pipeline.measure.machine import usable_cores
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEPT_BYTES = 2 * 2**30  # what the decoded images of one split may take
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Photographs(Images):
    """Image files, decoded and fitted by ``spec`` when asked for.

    Attributes:
        files: in their order; a worker process may be sent them.
        sha256: of each file's bytes.
        kept: whether all are decoded at the first look and then stay in memory.
    """

    files: tuple[Path, ...]
    sha256: tuple[str, ...]
    spec: InputSpec
    kept: bool = False

    def __len__(self) -> int:
        return len(self.files)

    def fitted_NHWC(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        return self._all_NHWC[start:stop] if self.kept else self._decoded(self.files[start:stop])

    def original(self, index: int) -> NDArray[np.uint8]:
        return self._decode(self.files[index])

    def take(self, indices: NDArray[np.int64]) -> Photographs:
        chosen = indices.tolist()
        files, sha256 = (tuple(values[index] for index in chosen) for values in (self.files, self.sha256))
        return Photographs(files, sha256, self.spec, self.kept)

    def hashes(self) -> tuple[str, ...]:
        return self.sha256

    def keep(self) -> Photographs:
        """The same, to be kept in memory once decoded, where that takes little enough."""
        fits = len(self) * self.spec.channels * self.spec.size[0] * self.spec.size[1] <= KEPT_BYTES
        return Photographs(self.files, self.sha256, self.spec, kept=fits)

    @cached_property
    def _all_NHWC(self) -> NDArray[np.uint8]:
        return self._decoded(self.files)

    def _decoded(self, files: Sequence[Path]) -> NDArray[np.uint8]:
        import numpy as np

        fitted_NHWC = np.empty((len(files), *self.spec.size, self.spec.channels), np.uint8)
        for index, image_HWC in enumerate(in_threads(lambda file: self.spec.fit(self._decode(file)), files)):
            fitted_NHWC[index] = image_HWC
        return fitted_NHWC

    def _decode(self, file: Path) -> NDArray[np.uint8]:
        return decode(file) if self.spec.color == "RGB" else decode_grey(file)

    def __getstate__(self) -> dict[str, Any]:
        """Without the decoded images: another process decodes what it needs."""
        return {name: value for name, value in self.__dict__.items() if name != "_all_NHWC"}


def in_threads(work: Callable[[S], T], items: Sequence[S]) -> Iterator[T]:
    """``work`` of every item, in order; decoders and hashes let other threads run meanwhile."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        yield from pool.map(work, items)
