"""Photographs of cats and dogs: your own folders, or the Oxford-IIIT Pet data set."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pipeline.data._folders import list_folder
from pipeline.data._root import DATA, data_root, fetch
from pipeline.data.photographs import TEST, TRAIN, Listing, PhotographSource
from pipeline.errors import DataError

CLASSES = ("cats", "dogs")
PETS = "oxford-iiit-pet"


class CatsDogs(PhotographSource):
    """Photographs of cats and dogs of any size: folders of yours, or Oxford-IIIT Pet.

    Where ``cats_dogs/`` is below the data root, its train, val and test folders are used;
    else ``oxford-iiit-pet/``, which is downloaded where it is missing.
    """

    kind: ClassVar[str] = "cats_dogs"

    def listing(self) -> Listing:
        own, pets = data_root() / self.kind, data_root() / PETS
        if own.is_dir():
            return _own(own)
        if not (pets / "annotations").is_dir() or not (pets / "images").is_dir():
            fix = f"put train, val and test, each with cats and dogs, into {own} (${DATA} names another root)"
            fetch("Oxford-IIIT Pet", lambda: _download(data_root()), fix)
        return Listing(pets, CLASSES, {TRAIN: _annotated(pets, "trainval"), TEST: _annotated(pets, "test")})

    def source(self, listing: Listing) -> str:
        return "Oxford-IIIT Pet, cats and dogs" if listing.root.name == PETS else "photographs of cats and dogs"


def _own(folder: Path) -> Listing:
    listing = list_folder(folder)
    if listing.classes != CLASSES:
        raise DataError(f"{folder} has the classes {', '.join(listing.classes)}", "call them cats and dogs")
    return listing


def _download(root: Path) -> None:
    from torchvision.datasets import OxfordIIITPet

    root.mkdir(parents=True, exist_ok=True)
    OxfordIIITPet(str(root), target_types="binary-category", download=True)


def _annotated(pets: Path, part: str) -> tuple[tuple[Path, int], ...]:
    """Files and labels from an annotation file: a name, its breed, 1 for a cat or 2 for a dog, and more."""
    file = pets / "annotations" / f"{part}.txt"
    try:
        rows = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
        return tuple((pets / "images" / f"{row[0]}.jpg", int(row[2]) - 1) for row in rows if row)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{file} cannot be read: {error}", f"delete {pets} and run again") from None
