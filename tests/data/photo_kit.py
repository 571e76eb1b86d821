"""Image files, good and bad, for tests of data sets of photographs."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.data.folder import Folder
from pipeline.dataset import DataSet

RED, BLUE = (200, 20, 30), (10, 30, 220)


def save(path: Path, color: Any = RED, size: tuple[int, int] = (20, 14), mode: str = "RGB", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).convert(mode).save(path, **options)
    return path


def fill(root: Path, count: int = 20, seed: int = 0, classes: tuple[str, str] = ("cat", "dog")) -> None:
    """``count`` reddish cats and bluish dogs of many sizes, every image another."""
    rng = np.random.default_rng(seed)
    for name, color in zip(classes, (RED, BLUE), strict=True):
        for index in range(count):
            width, height = rng.integers(8, 40, 2).tolist()
            noise = rng.integers(-9, 10, (height, width, 3))
            (root / name).mkdir(parents=True, exist_ok=True)
            pixels = np.clip(np.array(color) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{index:03}.png")


def load(root: Path, **fields: Any) -> DataSet:
    return Folder(path=str(root), size=8, **fields).load()


def encoded(format: str, size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    """Noise, which no format makes small."""
    buffer = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(buffer, format, **options)
    return buffer.getvalue()


def _cut(path: Path) -> None:
    path.write_bytes(encoded("JPEG")[:-200])


def _bomb(path: Path) -> None:
    """A PNG of a few bytes that says it has ten gigapixels."""
    content = bytearray(encoded("PNG", (8, 8)))
    content[16:24] = (100_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    path.write_bytes(content)


# What cannot be used -> how it is made, and what is said of it.
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut.jpg": (_cut, "truncated"),
    "cut.png": (lambda path: path.write_bytes(encoded("PNG")[:-300]), "truncated"),
    "zero.jpg": (lambda path: path.write_bytes(b""), "empty: 0 bytes"),
    "text.jpg": (lambda path: path.write_text("<html>404</html>"), "not an image"),
    "script.jpg": (lambda path: path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "not an image"),
    "bomb.png": (_bomb, "too large: more than 89 megapixels"),
    "large.bmp": (lambda path: path.write_bytes(_header_of_bmp(10_000, 10_000)), "too large"),
    "float.tif": (lambda path: Image.fromarray(np.ones((4, 4), np.float32)).save(path), "32 bits"),
    "int32.tif": (lambda path: Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(path), "32 bits"),
}


def _header_of_bmp(width: int, height: int) -> bytes:
    """A bitmap's first bytes: its size, and none of its pixels."""
    info = b"".join(value.to_bytes(4, "little") for value in (40, width, height))
    return b"BM" + bytes(8) + (54).to_bytes(4, "little") + info + b"\x01\0\x18\0" + bytes(24)


def _animation(path: Path) -> None:
    frames = [Image.new("RGB", (20, 14), color) for color in (RED, BLUE)]
    frames[0].save(path, save_all=True, append_images=frames[1:])


def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(path, size=(14, 20), exif=exif)


def _half_transparent(path: Path) -> None:
    pixels = np.full((14, 20, 4), (*RED, 128), np.uint8)
    Image.fromarray(pixels).save(path)


def _deep_colour(path: Path) -> None:
    """A PNG of 16 bits a channel, which Pillow reads and does not write."""
    row = b"\0" + b"".join((level * 257).to_bytes(2, "big") for level in RED) * 20
    header = (20).to_bytes(4, "big") + (14).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * 14)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


# What is converted -> how it is made, what is said of it, and the colour of every pixel.
CONVERTED: dict[str, tuple[Callable[[Path], object], str, tuple[int, int, int]]] = {
    "print.jpg": (lambda path: save(path, mode="CMYK", quality=95), "CMYK: converted to RGB", RED),
    "deep.png": (
        lambda path: Image.fromarray(np.full((14, 20), 200 * 257, np.uint16)).save(path),
        "16 bits a channel: scaled to 8",
        (200, 200, 200),
    ),
    "deep_colour.png": (_deep_colour, "16 bits a channel: scaled to 8", RED),
    "deep.pgm": (
        lambda path: path.write_bytes(b"P5 20 14 65535\n" + (200 * 257).to_bytes(2, "big") * 280),
        "16 bits a channel: scaled to 8",
        (200, 200, 200),
    ),
    "few.png": (lambda path: Image.new("RGB", (20, 14), RED).quantize(4).save(path), "palette: converted to RGB", RED),
    "clear.png": (_half_transparent, "alpha channel: laid on white", (227, 137, 142)),
    "side.jpg": (_turned, "turned upright, as its EXIF says", RED),
    "moving.gif": (_animation, "animated or of several pages: the first picture is used", RED),
    "pages.tif": (_animation, "animated or of several pages: the first picture is used", RED),
    "really_png.jpg": (
        lambda path: save(path, format="PNG"),
        "named .jpg, but holds PNG: read as what it holds",
        RED,
    ),
}
