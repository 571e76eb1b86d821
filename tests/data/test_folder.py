"""Photographs in folders: divided, labelled and left in their files; and what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from photo_kit import BLUE, REFUSED, encoded, fill, load, save

from pipeline.data._folders import class_names
from pipeline.data._photographs import Photographs
from pipeline.dataset import DataSet, read_source
from pipeline.errors import DataError, UsageError
from pipeline.spec import InputSpec


def is_red(data: DataSet, images: np.ndarray) -> np.ndarray:
    return images[..., 0].mean((1, 2)) > images[..., 2].mean((1, 2))


def test_plain_layout(tmp_path: Path) -> None:
    fill(tmp_path)
    data = load(tmp_path)
    splits = data.splits
    assert splits.classes == ("cat", "dog")
    assert [len(splits.train), len(splits.validation), len(data.test)] == [28, 4, 8]
    assert (splits.spec.size, splits.spec.resize) == ((8, 8), 9)
    for part in (splits.train, splits.validation, splits.calibration, data.test):
        assert np.array_equal(is_red(data, part.images.fitted_NHWC()), part.labels_N == 0)
        assert part.images.fitted_NHWC().shape[1:] == (8, 8, 3)
    for raw, fitted in zip(data.raw_test, data.test.images.fitted_NHWC(), strict=True):
        assert np.array_equal(splits.spec.fit(raw), fitted)
    assert load(tmp_path).digest == data.digest


@pytest.mark.parametrize("validation", ["val", "valid", "validation", None])
def test_divided_layout(tmp_path: Path, validation: str | None) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / "test", 3, seed=1)
    if validation:
        fill(tmp_path / validation, 5, seed=2)
    data = load(tmp_path)
    sizes = [len(data.splits.train), len(data.splits.validation), len(data.test)]
    assert sizes == ([40, 10, 6] if validation else [36, 4, 6])
    assert data.splits.classes == ("cat", "dog")
    for part in (data.splits.train, data.splits.validation, data.test):
        assert np.array_equal(is_red(data, part.images.fitted_NHWC()), part.labels_N == 0)


def test_calibration_and_probe_of_a_divided_layout_see_every_class(tmp_path: Path) -> None:
    for name, count in (("train", 300), ("val", 40), ("test", 2)):
        fill(tmp_path / name, count)
    splits = load(tmp_path).splits
    assert 0.3 < splits.calibration.labels_N.mean() < 0.7
    assert 0.2 < splits.validation.labels_N[:32].mean() < 0.8


@pytest.mark.parametrize("names", [("train", "val"), ("train", "valid"), ("val", "test")])
def test_a_layout_without_test_or_train_is_not_taken_for_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        fill(tmp_path / name, 2)
    with pytest.raises(DataError, match="train and test are both needed"):
        load(tmp_path)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "dog").rename(tmp_path / "train")
    assert load(tmp_path).splits.classes == ("cat", "train")


def test_other_files_are_no_images(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.md").write_text("not a class")
    (tmp_path / ".cache").mkdir()
    save(tmp_path / "dog" / "deeper" / "in.png", BLUE)
    data = load(tmp_path)
    assert data.splits.classes == ("cat", "dog")
    assert len(data.splits.train) + len(data.splits.validation) + len(data.test) == 21


def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    broken = tmp_path / "dog" / "007.png"
    broken.write_bytes(broken.read_bytes()[:60])
    with pytest.raises(
        DataError, match=r"1 image file below .* cannot be decoded:\ntruncated: 1 file: dog/007\.png"
    ) as caught:
        load(tmp_path)
    assert caught.value.exit_code == 2
    assert len(caught.value.lines()) <= 6


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    for path in (tmp_path / "none", save(tmp_path / "file.png")):
        with pytest.raises(DataError, match="is not a folder"):
            load(path)


@pytest.mark.parametrize(("classes", "said"), [(0, "no class folders"), (1, "1 class folder")])
def test_fewer_than_two_classes(tmp_path: Path, classes: int, said: str) -> None:
    for index in range(classes):
        save(tmp_path / f"class{index}" / "a.png")
    with pytest.raises(DataError, match=said):
        class_names(tmp_path)


def test_a_class_without_images_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "mouse").mkdir()
    with pytest.raises(DataError, match="mouse has no images"):
        load(tmp_path)


def test_too_few_images(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    with pytest.raises(DataError, match="too few"):
        load(tmp_path)


def test_resize(tmp_path: Path) -> None:
    fill(tmp_path)
    assert load(tmp_path, resize=8).splits.spec.resize == 8
    with pytest.raises(UsageError, match="resize 7 is smaller than size 8"):
        read_source({"folder": {"path": str(tmp_path), "size": 8, "resize": 7}})


def test_unreadable_files_are_left_out_on_request_and_told(tmp_path: Path) -> None:
    fill(tmp_path)
    digest = load(tmp_path).digest
    for name, (make, _) in REFUSED.items():
        make(tmp_path / "cat" / name)
    with pytest.raises(DataError, match=f"{len(REFUSED)} image files") as caught:
        load(tmp_path)
    assert len(caught.value.lines()) <= 6
    data = load(tmp_path, skip_unreadable=True)
    assert data.digest == digest
    assert "left out: truncated: 2 files: cat/cut.jpg, cat/cut.png" in data.left_out
    assert sum(int(line.split(": ")[-2].split()[0]) for line in data.left_out) == len(REFUSED)


def test_a_class_of_which_nothing_can_be_read_is_named(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "mouse").mkdir()
    (tmp_path / "mouse" / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="mouse has no image that can be read"):
        load(tmp_path, skip_unreadable=True)


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("change", ["extra", "missing"])
def test_class_counts_that_differ_between_splits(tmp_path: Path, part: str, change: str) -> None:
    for name in ("train", "val", "test"):
        fill(tmp_path / name, 4)
        fill(tmp_path / name, 4, classes=("emu", "fox"))
    if change == "extra":
        save(tmp_path / part / "gnu" / "a.png")
        said = (
            f"class counts differ between splits: 5 in {part}, 4 in train; .*{part}/gnu is a class, and train has none"
        )
    else:
        (tmp_path / part / "emu").rename(tmp_path / ".emu")
        said = (
            f"class counts differ between splits: 3 in {part}, 4 in train; .*train/emu is a class, and {part} has none"
        )
    with pytest.raises(DataError, match=said):
        load(tmp_path)


def test_train_stays_in_files_and_the_rest_is_kept(tmp_path: Path) -> None:
    fill(tmp_path)
    data = load(tmp_path)
    parts = (data.splits.train, data.splits.calibration, data.splits.validation, data.test)
    images = [part.images for part in parts]
    assert all(isinstance(each, Photographs) for each in images)
    assert [each.kept for each in images] == [False, True, True, True]  # type: ignore[attr-defined]


def test_the_digest_follows_the_bytes_of_the_files(tmp_path: Path) -> None:
    fill(tmp_path)
    before = load(tmp_path).digest
    file = tmp_path / "cat" / "003.png"
    content = file.read_bytes()
    save(file, BLUE)
    assert load(tmp_path).digest != before
    file.write_bytes(content)
    assert load(tmp_path).digest == before


def test_images_that_two_splits_share_are_told(tmp_path: Path) -> None:
    for seed, name in enumerate(("train", "val", "test")):
        fill(tmp_path / name, 6, seed=seed)
    assert load(tmp_path).duplicates == ()
    for part, count in (("val", 1), ("test", 2)):
        for index in range(count):
            content = (tmp_path / "train" / "cat" / f"{index:03}.png").read_bytes()
            (tmp_path / part / "cat" / f"copy {index}.png").write_bytes(content)
    assert load(tmp_path).duplicates == (
        "1 image of validation is in train too",
        "2 images of test are in train too",
        "1 image of test is in validation too",
    )


def test_fields_reach_the_preprocessing(tmp_path: Path) -> None:
    fill(tmp_path)
    fields = {"interpolation": "bicubic", "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.1), "resize": 12}
    wanted = InputSpec(size=(8, 8), resize=12, interpolation="bicubic", mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1))
    assert load(tmp_path, **fields).splits.spec == wanted


def test_any_name_will_do(tmp_path: Path) -> None:
    for name in ("猫", "chien d'Été", "🐶", "a b"):
        for index in range(12):
            save(tmp_path / name / f"ñ {index} #1.png", (index, 3, 9))
    data = load(tmp_path)
    assert data.splits.classes == ("a b", "chien d'Été", "猫", "🐶")
    assert data.test.images.fitted_NHWC().shape == (8, 8, 8, 3)


def test_a_name_that_is_no_text_can_be_told(tmp_path: Path) -> None:
    fill(tmp_path)
    broken = str(tmp_path / "cat").encode() + b"/\xff.jpg"
    with open(broken, "wb") as file:
        file.write(encoded("JPEG")[:100])
    with pytest.raises(DataError, match=r"cat/\?\.jpg") as caught:
        load(tmp_path)
    assert "\n".join(caught.value.lines()).encode()
