"""Labelled images, and how they are divided."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.errors import DataError, UsageError
from pipeline.images import Images
from pipeline.plugin import Plugin, lookup, read
from pipeline.progress import Progress, silent
from pipeline.spec import InputSpec, key_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UNKNOWN = -1


@dataclass(frozen=True)
class Samples:
    """Images with their labels.

    Attributes:
        images: in memory or in files.
        labels_N: int64 class indices; ``UNKNOWN`` where nobody knows.
        spec: how they are fitted and normalized.
    """

    images: Images
    labels_N: NDArray[np.int64]
    spec: InputSpec

    def __len__(self) -> int:
        return len(self.labels_N)

    def x_NCHW(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Network inputs of a slice: float32, normalized, unless ``spec`` says that pixels are taken."""
        return self.spec.normalize(self.images.fitted_NHWC(start, stop))

    @property
    def labelled(self) -> bool:
        return bool((self.labels_N != UNKNOWN).all())

    def check_labelled(self) -> None:
        """Raise where labels are needed to learn from, and there are none."""
        if not self.labelled:
            raise DataError("these images have no labels to learn from", "put each class into a folder of its own")

    def take(self, indices: NDArray[np.int64]) -> Samples:
        return Samples(self.images.take(indices), self.labels_N[indices], self.spec)

    def normalized_as(self, spec: InputSpec) -> Samples:
        """The same pixels with another mean and standard deviation.

        Raises:
            UsageError: ``spec`` makes other pixels.
        """
        if not spec.fits_as(self.spec):
            raise UsageError(f"images were fitted to {self.spec.shape}, but the model takes {spec.shape}")
        return replace(self, spec=spec)


@dataclass(frozen=True)
class Splits:
    """What training may see.

    Attributes:
        calibration: a fixed subset of train, for observers and probes.
        classes: class names; their order is the order of the logits.
    """

    train: Samples
    calibration: Samples
    validation: Samples
    classes: tuple[str, ...]
    spec: InputSpec

    @property
    def labelled(self) -> bool:
        """Whether labels are known; else a network's answers may stand in for them, in all but train."""
        return self.train.labelled

    def normalized_as(self, spec: InputSpec) -> Splits:
        """The same images as a model of that input takes them."""
        train, calibration, validation = (
            part.normalized_as(spec) for part in (self.train, self.calibration, self.validation)
        )
        return Splits(train, calibration, validation, self.classes, spec)


@dataclass(frozen=True)
class DataSet:
    """A loaded data set: the splits, and apart from them the test images.

    Attributes:
        test: seen by the last measurement only.
        raw_test: a few test images as they came, before fitting, for golden examples.
        source: one sentence for reports: where the images come from.
        left_out: one sentence for each kind of file that could not be used and was left out.
        remarks: what else a reader of the report should know, in sentences.
    """

    splits: Splits
    test: Samples
    raw_test: tuple[NDArray[np.uint8], ...]
    source: str
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def labelled(self) -> bool:
        """As ``Splits.labelled``."""
        return self.splits.labelled

    def answered(self, validation_N: NDArray[np.int64], test_N: NDArray[np.int64]) -> DataSet:
        """The same images, with a network's answers in place of labels that nobody knows."""
        validation = replace(self.splits.validation, labels_N=validation_N)
        return replace(
            self, splits=replace(self.splits, validation=validation), test=replace(self.test, labels_N=test_N)
        )

    @property
    def parts(self) -> dict[str, Samples]:
        """The splits that share no image, by name."""
        return {"train": self.splits.train, "validation": self.splits.validation, "test": self.test}

    @cached_property
    def hashes(self) -> dict[str, tuple[str, ...]]:
        """One hash an image, by split."""
        return {name: part.images.hashes() for name, part in self.parts.items()}

    @cached_property
    def digest(self) -> str:
        """Content key of every image, label and split."""
        parts = {**self.parts, "calibration": self.splits.calibration}
        labels = [hashlib.sha256(part.labels_N.tobytes()).hexdigest() for part in parts.values()]
        hashes = [*self.hashes.values(), self.splits.calibration.images.hashes()]
        return key_of([hashes, labels, self.splits.spec.model_dump(mode="json"), self.splits.classes])

    @cached_property
    def duplicates(self) -> tuple[str, ...]:
        """One sentence for each two splits that share images."""
        found = []
        for (one, hashes), (other, others) in combinations(self.hashes.items(), 2):
            if shared := len(set(hashes) & set(others)):
                found.append(f"{shared} image{'s' * (shared > 1)} of {other} {_are(shared)} in {one} too")
        return tuple(found)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


class Source(Plugin):
    """A data set that can be loaded; the same fields always give the same images."""

    role: ClassVar[str] = "data"
    version: ClassVar[int] = 2

    @abstractmethod
    def load(self, progress: Progress = silent) -> DataSet:
        """Read, fit and divide the images.

        Raises:
            DataError: files are missing or cannot be used; says where to put which.
        """

    @classmethod
    def from_text(cls, text: str) -> Source:
        """The data set written ``kind:text`` on one line; only folders and files take one."""
        raise UsageError(f"data {cls.kind} takes nothing after a colon, got {text!r}")


def read_source(data: Any, where: str = "data") -> Source:
    """A data set from its YAML view: ``kind``, ``kind:text`` or ``{kind: {field: value}}``."""
    if isinstance(data, str) and ":" in data:
        kind, _, text = data.partition(":")
        plugin = lookup("data", kind, where)
        assert issubclass(plugin, Source)
        return plugin.from_text(text)
    source = read("data", data, where)
    assert isinstance(source, Source)
    return source


def split(
    samples: Samples, fractions: tuple[float, float, float], classes: tuple[str, ...], seed: int = 0
) -> tuple[Splits, Samples, NDArray[np.int64]]:
    """Fixed, stratified division into train, validation and test.

    Args:
        fractions: of train, validation and test; they sum to one.

    Returns:
        the splits, the test samples, and the test samples' indices.

    Raises:
        DataError: there are too few images for every part to have one.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    parts: tuple[list[NDArray[np.int64]], ...] = ([], [], [])
    for label in np.unique(samples.labels_N):
        members = rng.permutation(np.flatnonzero(samples.labels_N == label))
        cuts = np.round(np.cumsum(fractions)[:2] * len(members)).astype(int)
        for part, chunk in zip(parts, np.split(members, cuts), strict=True):
            part.append(chunk)
    train, validation, test = (rng.permutation(np.concatenate(part)) for part in parts)
    sizes = {"train": len(train), "validation": len(validation), "test": len(test)}
    for (name, size), fraction in zip(sizes.items(), fractions, strict=True):
        if fraction and not size:
            raise DataError(f"{len(samples)} images are too few: none is left for {name}", "add images to every class")
    return assemble(samples.take(train), samples.take(validation), classes), samples.take(test), test


def shuffled(samples: Samples, seed: int = 0) -> Samples:
    """The same samples in a fixed random order."""
    import numpy as np

    return samples.take(np.random.default_rng(seed).permutation(len(samples)))


def assemble(train: Samples, validation: Samples, classes: tuple[str, ...], calibration: int = 256) -> Splits:
    """Splits whose calibration images are the first ``calibration`` training images."""
    import numpy as np

    chosen = train.take(np.arange(min(calibration, len(train))))
    return Splits(train, chosen, validation, classes, train.spec)
