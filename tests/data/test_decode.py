"""One file into one upright RGB image, whatever it holds; and what cannot be is said in a few words."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photo_kit import CONVERTED, RED, REFUSED, encoded, save
from PIL import Image

from pipeline.data._decode import decode, examine
from pipeline.errors import DataError
from pipeline.files import sha256_of

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
    "p.jpg": {"mode": "YCbCr"},
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


@pytest.mark.parametrize("name", CONVERTED)
def test_what_can_be_converted_is_used_and_told(tmp_path: Path, name: str) -> None:
    make, said, color = CONVERTED[name]
    file = tmp_path / name
    make(file)
    before = sha256_of(file)
    found = examine(file)
    assert said in found.notes
    assert found.problem == ""
    assert (found.height, found.width, 3) == decode(file).shape == (14, 20, 3)
    assert np.abs(decode(file).reshape(-1, 3).astype(int) - color).max() <= 12
    assert sha256_of(file) == before == found.sha256


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused_in_a_few_words(tmp_path: Path, name: str) -> None:
    make, said = REFUSED[name]
    make(tmp_path / name)
    found = examine(tmp_path / name)
    assert found.problem.startswith(said) or said in found.problem
    assert len(found.problem) < 80
    with pytest.raises(DataError, match=rf"{name} cannot be decoded: .*{said}"):
        decode(tmp_path / name)


def test_an_ordinary_image_has_no_notes(tmp_path: Path) -> None:
    found = examine(save(tmp_path / "a.jpg"))
    assert (found.width, found.height, found.notes, found.problem) == (20, 14, (), "")


def test_sixteen_bits_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(deep).save(tmp_path / "ramp.png")
    assert np.array_equal(decode(tmp_path / "ramp.png")[..., 1], np.rint(deep / 257))


@pytest.mark.parametrize(("alpha", "seen"), [(0, (255, 255, 255)), (255, RED)])
def test_transparent_pixels_are_white(tmp_path: Path, alpha: int, seen: tuple[int, int, int]) -> None:
    Image.fromarray(np.full((3, 3, 4), (*RED, alpha), np.uint8)).save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png") == seen).all()


def test_a_transparent_palette_colour_is_white(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([*RED, 1, 2, 3])
    picture.save(tmp_path / "a.png", transparency=1)
    assert (decode(tmp_path / "a.png") == 255).all()


def test_exif_that_cannot_be_read_turns_nothing(tmp_path: Path) -> None:
    content = encoded("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    (tmp_path / "a.jpg").write_bytes(content)
    assert decode(tmp_path / "a.jpg").shape == (30, 40, 3)


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    assert "No such file" in examine(tmp_path / "gone.jpg").problem
    with pytest.raises(DataError, match=r"gone\.jpg cannot be decoded: cannot be read: No such file"):
        decode(tmp_path / "gone.jpg")


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
    found = examine(path)
    with contextlib.suppress(DataError):
        assert decode(path).shape == (found.height, found.width, 3)
        assert not found.problem
