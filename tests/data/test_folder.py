"""Photographs in folders: any format, size and mode; and what is wrong is named."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.data.folder import Folder, class_names, decode
from pipeline.dataset import DataSet, read_source
from pipeline.errors import DataError, UsageError

RED, BLUE = (200, 20, 30), (10, 30, 220)


def save(path: Path, color: Any = RED, size: tuple[int, int] = (20, 14), mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).convert(mode).save(path, **options)
    return path


def fill(root: Path, count: int = 20, seed: int = 0) -> None:
    """``count`` reddish cats and bluish dogs of many sizes, every image another."""
    rng = np.random.default_rng(seed)
    for name, color in (("cat", RED), ("dog", BLUE)):
        for index in range(count):
            width, height = rng.integers(5, 40, 2).tolist()
            shade = tuple(int(np.clip(level + rng.integers(-9, 10), 0, 255)) for level in color)
            save(root / name / f"{index:03}.png", shade, (width, height))


def load(root: Path, **fields: Any) -> DataSet:
    return Folder(path=str(root), size=8, **fields).load()


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


FORMATS = {
    "a.jpg": {"quality": 95},
    "b.JPEG": {"mode": "L"},
    "c.png": {"mode": "RGBA"},
    "d.png": {"mode": "P"},
    "e.PNG": {"mode": "L"},
    "f.png": {"mode": "1"},
    "g.png": {"mode": "LA"},
    "h.webp": {},
    "i.bmp": {},
    "j.gif": {},
    "k.tif": {"mode": "CMYK"},
    "l.tiff": {"mode": "RGB"},
    "m.ppm": {},
    "n.pgm": {"mode": "L"},
    "o.jpeg": {"mode": "CMYK"},
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_mode_is_rgb(tmp_path: Path, name: str) -> None:
    image = decode(save(tmp_path / name, **FORMATS[name]))
    assert (image.shape, image.dtype) == ((14, 20, 3), np.uint8)
    if FORMATS[name].get("mode", "RGB") not in ("L", "1", "LA"):
        assert np.abs(image.reshape(-1, 3).mean(0) - RED).max() < 30


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    """Whatever way the camera was held, the bright part is where the photographer saw it."""
    seen = Image.new("L", (24, 16), 0)
    seen.paste(255, (0, 0, 12, 8))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = seen.transpose(undo[orientation]) if orientation in undo else seen
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "x.png", exif=exif)
    image = decode(tmp_path / "x.png")
    assert image.shape == (16, 24, 3)
    assert np.array_equal(image[..., 0], np.asarray(seen))


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
    with pytest.raises(DataError, match=r"dog/007\.png cannot be decoded") as caught:
        load(tmp_path)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif", "ppm"])
@given(cut=st.integers(0, 300), position=st.integers(0, 10**4), value=st.integers(0, 255))
def test_no_damage_is_anything_but_a_data_error(
    suffix: str, cut: int, position: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((9, 7), 80).convert("RGB").save(buffer, Image.registered_extensions()[f".{suffix}"])
    content = bytearray(buffer.getvalue())
    content[position % len(content)] = value
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    path.write_bytes(content[: len(content) - cut % len(content)])
    with contextlib.suppress(DataError):
        assert decode(path).shape[2] == 3


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
