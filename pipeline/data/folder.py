"""Class-per-folder photographs of any size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from pipeline.dataset import DataSet, Samples, Source, assemble, shuffled, split
from pipeline.errors import DataError
from pipeline.images import Held
from pipeline.spec import InputSpec, Positive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm"})
NAMES = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}


class Folder(Source):
    """Photographs in one folder a class, or in train/val/test folders of such.

    Attributes:
        path: the folder.
        size: edge of the network's input, in pixels.
        resize: shorter edge before the centre crop; 8/7 of ``size`` when 0.
    """

    kind: ClassVar[str] = "folder"
    path: str
    size: Positive = 224
    resize: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _crop_fits(self) -> Folder:
        if 0 < self.resize < self.size:
            raise ValueError(f"resize {self.resize} is smaller than size {self.size}")
        return self

    @classmethod
    def from_text(cls, text: str) -> Folder:
        return cls(path=text)

    def load(self) -> DataSet:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise DataError(f"{root} is not a folder", "give a folder with one subfolder of images a class")
        spec = InputSpec(size=(self.size, self.size), resize=self.resize or round(self.size * 8 / 7))
        source = f"photographs below {root.name}/"
        parts = {part: _first_folder(root, names) for part, names in NAMES.items()}
        if parts["train"] and parts["test"]:
            return _divided(parts, spec, source)
        classes = class_names(root)
        if set(classes) <= {name for names in NAMES.values() for name in names}:
            fix = "add the missing folder, or put all images into one folder a class"
            raise DataError(f"{root} has {' and '.join(classes)}, but train and test are both needed", fix)
        samples, files = read_images(root, classes, spec)
        splits, test, order = split(samples, (0.7, 0.1, 0.2), classes)
        return DataSet(splits, test, _raw(files[index] for index in order[:32]), source)


def _first_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


def _divided(parts: dict[str, Path | None], spec: InputSpec, source: str) -> DataSet:
    train_folder, test_folder = parts["train"], parts["test"]
    assert train_folder is not None
    assert test_folder is not None
    classes = class_names(train_folder)
    train, _ = read_images(train_folder, classes, spec)
    test, files = read_images(test_folder, classes, spec)
    if parts["validation"]:
        validation, _ = read_images(parts["validation"], classes, spec)
        # In random order, as calibration and probe take the first images, and not of one class.
        splits = assemble(shuffled(train), shuffled(validation), classes)
    else:
        splits = split(train, (0.9, 0.1, 0.0), classes)[0]
    return DataSet(splits, test, _raw(files[:: max(1, len(files) // 32)]), source)


def class_names(root: Path) -> tuple[str, ...]:
    """Subfolders in sorted order.

    Raises:
        DataError: fewer than two.
    """
    classes = tuple(sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")))
    if len(classes) < 2:
        fix = "put the images of each class into a subfolder of its own; two classes are the least"
        raise DataError(f"{root} has {len(classes) or 'no'} class folder{'s' * (not classes)}", fix)
    return classes


def read_images(root: Path, classes: tuple[str, ...], spec: InputSpec) -> tuple[Samples, list[Path]]:
    """Every image below ``root/<class>``, fitted by ``spec``, with its file.

    Raises:
        DataError: a class has no images, or an image cannot be decoded.
    """
    import numpy as np

    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(path for path in (root / name).rglob("*") if path.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError(f"{root / name} has no images", f"known endings: {' '.join(sorted(SUFFIXES))}")
        files += found
        labels += [label] * len(found)
    fitted = np.stack([spec.fit(decode(file)) for file in files])
    return Samples(Held(fitted), np.array(labels, np.int64), spec), files


def decode(file: Path) -> NDArray[np.uint8]:
    """One image file as upright RGB (height, width, 3).

    Raises:
        DataError: names the file that cannot be decoded.
    """
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            return np.asarray(upright, np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} cannot be decoded: {error}", "remove or replace the file") from None


def _raw(files: Iterable[Path]) -> tuple[NDArray[np.uint8], ...]:
    return tuple(decode(file) for file in files)
