"""Cats and dogs: own folders first, then Oxford-IIIT Pet, then a download, then advice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from photo_kit import BLUE, RED, fill, save
from torchvision.datasets import OxfordIIITPet

from pipeline.data.cats_dogs import CatsDogs
from pipeline.errors import DataError


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def refuse(self: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(OxfordIIITPet, "_download", refuse)
    monkeypatch.setenv("EDGEWRIGHT_DATA", str(tmp_path))
    return tmp_path


def pets(root: Path) -> None:
    """The published layout: breeds in one folder, cats and dogs in text files."""
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for part, count in (("trainval", 20), ("test", 6)):
        lines = []
        for index in range(count):
            cat = index % 2 == 0
            name = f"{'Abyssinian' if cat else 'beagle'}_{part}_{index}"
            save(folder / "images" / f"{name}.jpg", tuple(min(c + index, 255) for c in (RED if cat else BLUE)))
            lines.append(f"{name} {1 if cat else 5} {1 if cat else 2} 1")
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(lines) + "\n")


def test_own_folders(root: Path) -> None:
    pets(root)
    for seed, name in enumerate(("train", "val", "test")):
        fill(root / "cats_dogs" / name, 6, seed, ("cats", "dogs"))
    data = CatsDogs(size=8).load()
    assert [len(part) for part in data.parts.values()] == [12, 12, 12]
    assert data.splits.classes == ("cats", "dogs")
    assert data.source == "photographs of cats and dogs"


def test_other_classes_are_no_cats_and_dogs(root: Path) -> None:
    for name in ("train", "test"):
        fill(root / "cats_dogs" / name, 6)
    with pytest.raises(DataError, match="has the classes cat, dog"):
        CatsDogs().load()


def test_pets(root: Path) -> None:
    pets(root)
    data = CatsDogs(size=8).load()
    assert [len(part) for part in data.parts.values()] == [18, 2, 6]
    assert data.source == "Oxford-IIIT Pet, cats and dogs"
    for part in data.parts.values():
        images = part.images.fitted_NHWC().astype(int)
        assert ((images[..., 0] > images[..., 2]).all((1, 2)) == (part.labels_N == 0)).all()


def test_pets_are_fetched(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OxfordIIITPet, "_download", lambda self: pets(root))
    assert len(CatsDogs(size=8).load().test) == 6


@pytest.mark.parametrize("text", ["Abyssinian_1 1\n", "Abyssinian_1 1 cat 1\n"])
def test_damaged_annotations(root: Path, text: str) -> None:
    pets(root)
    (root / "oxford-iiit-pet" / "annotations" / "test.txt").write_text(text)
    with pytest.raises(DataError, match=r"test\.txt cannot be read"):
        CatsDogs(size=8).load()


def test_nothing_there_and_no_network(root: Path) -> None:
    with pytest.raises(DataError, match="Oxford-IIIT Pet is not there and cannot be downloaded: no network") as caught:
        CatsDogs().load()
    assert str(root / "cats_dogs") in caught.value.fix
    assert "EDGEWRIGHT_DATA" in caught.value.fix
