"""Class folders into a listing: plain, or in train, val and test folders."""

from __future__ import annotations

from pathlib import Path

from pipeline.data._decode import SUFFIXES
from pipeline.data.photographs import ALL, TEST, TRAIN, VALIDATION, Listing
from pipeline.errors import DataError

NAMES = {TRAIN: ("train",), VALIDATION: ("val", "validation", "valid"), TEST: ("test",)}


def list_folder(root: Path) -> Listing:
    """Every image file below a folder, by split and class.

    Raises:
        DataError: it is no folder, or its folders are not those of a data set.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder", "give a folder with one subfolder of images a class")
    folders = {part: folder for part, names in NAMES.items() if (folder := _first(root, names))}
    if not {TRAIN, TEST} <= folders.keys():
        classes = class_names(root)
        if set(classes) <= {name for names in NAMES.values() for name in names}:
            fix = "add the missing folder, or put all images into one folder a class"
            raise DataError(f"{root} has {' and '.join(classes)}, but train and test are both needed", fix)
        folders = {ALL: root}
    else:
        classes = class_names(folders[TRAIN])
        for folder in folders.values():
            _same_classes(folder, classes)
    found = {part: [_files(folder / name) for name in classes] for part, folder in folders.items()}
    parts = {
        part: tuple((file, label) for label, (images, _) in enumerate(by_class) for file in images)
        for part, by_class in found.items()
    }
    others = tuple(file for by_class in found.values() for _, passed_by in by_class for file in passed_by)
    return Listing(root, classes, parts, others)


def every_image(root: Path) -> tuple[Path, ...]:
    """Every image file below a folder at any depth, in sorted order.

    Raises:
        DataError: there is none.
    """
    files = tuple(sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()))
    if not files:
        what = "has no images" if root.is_dir() else "is not a folder"
        raise DataError(f"{root} {what}", f"give a folder with images; known endings: {' '.join(sorted(SUFFIXES))}")
    return files


def _first(root: Path, names: tuple[str, ...]) -> Path | None:
    return next((root / name for name in names if (root / name).is_dir()), None)


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


def _same_classes(folder: Path, classes: tuple[str, ...]) -> None:
    """Refuse a split whose classes are not those of train: its labels would mean something else."""
    own = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    for name in sorted(own ^ set(classes)):
        other = "train has none of that name" if name in own else f"{folder.name} has none"
        cause = f"class counts differ between splits: {len(own)} in {folder.name}, {len(classes)} in train; "
        where = folder / name if name in own else folder.parent / "train" / name
        raise DataError(f"{cause}{where} is a class, and {other}", "give every split the same class folders")


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Image files at any depth in sorted order, and the other files.

    Raises:
        DataError: there is no image.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not images:
        raise DataError(f"{folder} has no images", f"known endings: {' '.join(sorted(SUFFIXES))}")
    return images, [path for path in files if path.suffix.lower() not in SUFFIXES]
