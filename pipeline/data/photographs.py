"""What data sets of image files share: fields, the examination, and what becomes of files that are no use."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from pipeline.data._decode import Examined
from pipeline.dataset import DataSet, Samples, Source, Splits, assemble, shuffled, split
from pipeline.errors import DataError
from pipeline.progress import Progress, silent
from pipeline.spec import InputSpec, Interpolation, Positive

RAW = 32  # test images that are kept as they came
Mean = Annotated[float, Field(ge=0, le=1)]
Deviation = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Fractions = tuple[Fraction, Fraction, Fraction]
ALL, TRAIN, VALIDATION, TEST = "all", "train", "validation", "test"
FRACTIONS = (0.7, 0.1, 0.2)


@dataclass(frozen=True)
class Listing:
    """Which files a data set has, before any is opened.

    Attributes:
        parts: files with their class indices, by split, or under "all" where nothing is divided yet.
        passed_by: files in class folders whose names are not those of images.
    """

    root: Path
    classes: tuple[str, ...]
    parts: Mapping[str, tuple[tuple[Path, int], ...]]
    passed_by: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for part in self.parts.values() for file, _ in part)

    def without(self, refused: set[Path]) -> Listing:
        kept = {name: tuple(pair for pair in part if pair[0] not in refused) for name, part in self.parts.items()}
        return replace(self, parts=kept)


class PhotographSource(Source):
    """Image files of any size, fitted to one.

    Attributes:
        size: edge of the network's input, in pixels.
        resize: shorter edge before the centre crop, in pixels; 8/7 of ``size`` when 0.
        interpolation: "bilinear" or "bicubic".
        mean: of each channel, for images from 0 to 1.
        std: of each channel, for images from 0 to 1.
        skip_unreadable: leave out files that cannot be decoded, and say so; else they are an error.
    """

    version: ClassVar[int] = 4
    size: Positive = 224
    resize: int = Field(default=0, ge=0)
    interpolation: Interpolation = "bilinear"
    mean: tuple[Mean, Mean, Mean] = (0.485, 0.456, 0.406)
    std: tuple[Deviation, Deviation, Deviation] = (0.229, 0.224, 0.225)
    skip_unreadable: bool = False

    @model_validator(mode="after")
    def _crop_fits(self) -> PhotographSource:
        if 0 < self.resize < self.size:
            raise ValueError(f"resize {self.resize} is smaller than size {self.size}")
        return self

    @abstractmethod
    def listing(self) -> Listing:
        """Which files there are.

        Raises:
            DataError: folders or files are missing; says where to put which.
        """

    @abstractmethod
    def source(self, listing: Listing) -> str:
        """One sentence for reports."""

    def spec(self) -> InputSpec:
        """How an image becomes the network's input."""
        return InputSpec(
            size=(self.size, self.size),
            resize=self.resize or round(self.size * 8 / 7),
            mean=self.mean,
            std=self.std,
            interpolation=self.interpolation,
        )

    def load(self, progress: Progress = silent) -> DataSet:
        from pipeline.data._index import examined

        listing = self.listing()
        facts = examined(listing.root, listing.files, progress)
        refused = {file: found.problem for file, found in facts.items() if found.problem}
        if refused and not self.skip_unreadable:
            raise unreadable(refused, listing.root)
        listing = listing.without(set(refused))
        parts = samples(listing, facts, self.spec())
        splits, test = self.divided(parts, listing.classes)
        raw = tuple(test.images.original(index) for index in range(min(RAW, len(test))))
        left_out = tuple(f"left out: {line}" for line in grouped(refused, listing.root))
        calibration, validation, test = (keep(part) for part in (splits.calibration, splits.validation, test))
        splits = replace(splits, calibration=calibration, validation=validation)
        return DataSet(splits, test, raw, self.source(listing), left_out, self.remarks(listing))

    def divided(self, parts: Mapping[str, Samples], classes: tuple[str, ...]) -> tuple[Splits, Samples]:
        """Splits and test images: those of the folders, or 70 : 10 : 20, or a tenth of train for validation."""
        every_class(parts, classes)
        return in_three(parts, classes, FRACTIONS)

    def remarks(self, listing: Listing) -> tuple[str, ...]:
        """What else a reader of the report should know, in sentences."""
        return ()


def in_three(parts: Mapping[str, Samples], classes: tuple[str, ...], fractions: Fractions) -> tuple[Splits, Samples]:
    """Splits and test images: those of the folders, each class alike divided by fractions where nothing is divided."""
    if ALL in parts:
        splits, test, _ = split(parts[ALL], fractions, classes)
        return splits, test
    # In random order, as calibration, probe and examples take the first images, and not of one class.
    train, test = shuffled(parts[TRAIN]), shuffled(parts[TEST])
    if VALIDATION in parts:
        return assemble(train, shuffled(parts[VALIDATION]), classes), test
    return split(train, (0.9, 0.1, 0.0), classes)[0], test


def at_random(images: Samples, classes: tuple[str, ...], fractions: Fractions) -> tuple[Splits, Samples]:
    """Splits and test images by fractions, and not class by class: where most classes have one image or two."""
    import numpy as np

    mixed = shuffled(images)
    cuts = np.round(np.cumsum(fractions)[:2] * len(mixed)).astype(int)
    train, validation, test = (mixed.take(part) for part in np.split(np.arange(len(mixed)), cuts))
    if not (len(train) and len(validation) and len(test)):
        raise DataError(f"{len(mixed)} images are too few to divide in three", "add images")
    return assemble(train, validation, classes), test


def samples(listing: Listing, facts: Mapping[Path, Examined], spec: InputSpec) -> dict[str, Samples]:
    """Every part with its labels; no image is decoded."""
    import numpy as np

    from pipeline.data._photographs import Photographs

    found = {}
    for name, pairs in listing.parts.items():
        files, labels = tuple(file for file, _ in pairs), np.array([label for _, label in pairs], np.int64)
        found[name] = Samples(Photographs(files, tuple(facts[file].sha256 for file in files), spec), labels, spec)
    return found


def every_class(parts: Mapping[str, Samples], classes: tuple[str, ...]) -> None:
    """Raise if a part has lost all images of a class."""
    for part, found in parts.items():
        for label in sorted(set(range(len(classes))) - set(found.labels_N.tolist())):
            name = classes[label] if part == ALL else f"{part}/{classes[label]}"
            raise DataError(f"{name} has no image that can be read", "replace the files of that class")


def keep(part: Samples) -> Samples:
    """Images that are looked at again and again stay in memory once decoded, where that takes little enough."""
    from pipeline.data._photographs import Photographs

    assert isinstance(part.images, Photographs)
    return replace(part, images=part.images.keep())


def unreadable(refused: Mapping[Path, str], root: Path) -> DataError:
    """The error that names files which cannot be decoded, by what is wrong with them."""
    count = len(refused)
    cause = f"{count} image file{'s' * (count > 1)} below {root} cannot be decoded:"
    fix = "remove or replace them (`edgewright data check` names each), or set skip_unreadable: true"
    return DataError("\n".join([cause, *grouped(refused, root)]), fix)


def grouped(said: Mapping[Path, str], root: Path, names: int = 3) -> list[str]:
    """One line for each thing said of files: how many they are, and the first few names."""
    groups: dict[str, list[str]] = {}
    for file, text in said.items():
        groups.setdefault(text, []).append(relative(file, root))
    return [f"{text}: {listed(files, names)}" for text, files in groups.items()]


def listed(files: Sequence[str], names: int) -> str:
    """``3 files: a.jpg, b.jpg and 1 more``."""
    more = f" and {len(files) - names} more" if len(files) > names else ""
    return f"{len(files)} file{'s' * (len(files) > 1)}: {', '.join(files[:names])}{more}"


def relative(file: Path, root: Path) -> str:
    """A file's path below its data set, printable whatever its name."""
    name = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
    return "".join(letter if letter.isprintable() else "?" for letter in name)
