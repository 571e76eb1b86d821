"""ImageNet's validation images by their table: labels as trained, and test apart from calibration."""

from __future__ import annotations

from pathlib import Path

import pytest
from photo_kit import save

from pipeline.data.imagenet import ImageNet
from pipeline.dataset import read_source
from pipeline.errors import DataError, UsageError

CLASSES = ["tench, Tinca tinca", "crane", 'a "quoted" name', "crane", "fox"]


def make(root: Path, count: int = 50) -> Path:
    """Images whose red is their label, in a random order."""
    folder = root / "imagenet_val"
    rows = ["file,label,wnid"]
    for index in range(count):
        label = index * 7 % 5
        save(folder / "val50" / f"{index}.JPEG", (label * 50, index, 0), quality=100, subsampling=0)
        rows.append(f"{index}.JPEG,{label},n{label}")
    (folder / "val50.csv").write_text("\n".join(rows) + "\n")
    names = [f"{index}\tn{index}\t{name}" for index, name in enumerate(CLASSES)]
    (folder / "classes.tsv").write_text("\n".join(["index\twnid\tname", *names]) + "\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_DATA", str(tmp_path))
    return make(tmp_path)


def test_labels_classes_and_preprocessing(folder: Path) -> None:
    data = ImageNet().load()
    assert data.splits.classes == ("tench, Tinca tinca", "crane (n1)", 'a "quoted" name', "crane (n3)", "fox")
    spec = data.splits.spec
    assert (spec.size, spec.resize, spec.interpolation) == ((224, 224), 256, "bicubic")
    for part in (*data.parts.values(), data.splits.calibration):
        red = part.images.fitted_NHWC(0, 4)[..., 0].mean((1, 2))
        assert (abs(red / 50 - part.labels_N[:4]) < 0.1).all()


@pytest.mark.parametrize(("fractions", "sizes"), [((0.2, 0.2, 0.6), [10, 10, 30]), ((0.5, 0.25, 0.25), [25, 13, 12])])
def test_the_parts_share_nothing(fractions: tuple[float, float, float], sizes: list[int], folder: Path) -> None:
    data = ImageNet(fractions=fractions, size=8, resize=8).load()
    assert [len(part) for part in data.parts.values()] == sizes
    assert data.duplicates == ()
    assert len({sha for hashes in data.hashes.values() for sha in hashes}) == 50
    assert not set(data.splits.calibration.images.hashes()) & set(data.hashes["test"])
    assert ImageNet(fractions=fractions, size=8, resize=8).load().digest == data.digest


@pytest.mark.parametrize("fractions", [[0.5, 0.5, 0.5], [1.0, 0.0, 0.0], [0.5, 0.5]])
def test_fractions_that_cannot_be(fractions: list[float]) -> None:
    with pytest.raises(UsageError, match="fractions"):
        read_source({"imagenet": {"fractions": fractions}})


def test_a_listed_image_that_is_missing(folder: Path) -> None:
    (folder / "val50" / "17.JPEG").unlink()
    with pytest.raises(DataError, match=r"17\.JPEG is missing, but val50\.csv lists it"):
        ImageNet().load()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0.JPEG,5,n5", "label 5 is not one of 5 classes"),
        ("0.JPEG,-1,n5", "line 52: cannot be used"),
        ("0.JPEG,fox,n5", "line 52: cannot be used"),
        ("0.JPEG", "line 52: cannot be used"),
    ],
)
def test_a_line_that_cannot_be(folder: Path, line: str, said: str) -> None:
    table = folder / "val50.csv"
    table.write_text(table.read_text() + line + "\n")
    with pytest.raises(DataError, match=said):
        ImageNet().load()


def test_tables_that_are_missing(folder: Path) -> None:
    (folder / "classes.tsv").unlink()
    with pytest.raises(DataError, match=r"classes\.tsv cannot be read"):
        ImageNet().load()
    (folder / "val50.csv").unlink()
    with pytest.raises(DataError, match="no label table") as caught:
        ImageNet().load()
    assert "classes.tsv" in caught.value.fix


def test_two_tables(folder: Path) -> None:
    (folder / "val2").mkdir()
    (folder / "val2.csv").write_text("file,label\n")
    with pytest.raises(DataError, match=r"2 label tables: val2\.csv, val50\.csv"):
        ImageNet().load()


def test_classes_out_of_order(folder: Path) -> None:
    (folder / "classes.tsv").write_text("index\twnid\tname\n1\tn1\tcrane\n0\tn0\ttench\n")
    with pytest.raises(DataError, match="does not count"):
        ImageNet().load()


def test_an_unreadable_image(folder: Path) -> None:
    (folder / "val50" / "3.JPEG").write_bytes(b"")
    with pytest.raises(DataError, match=r"empty: 0 bytes: 1 file: val50/3\.JPEG"):
        ImageNet().load()
    data = ImageNet(skip_unreadable=True).load()
    assert sum(map(len, data.parts.values())) == 49
    assert data.source == "49 labelled ImageNet validation images"


def test_too_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_DATA", str(tmp_path))
    make(tmp_path, 2)
    with pytest.raises(DataError, match="too few"):
        ImageNet().load()
