"""One file into one upright 8-bit RGB image, whatever it holds; or a sentence that says why not."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

MAX_PIXELS = 89_478_485  # a quarter of a gigabyte decoded; Pillow's own limit
# Pillow's names of formats, and the endings that are right for them.
ENDINGS = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "MPO": {".jpg", ".jpeg", ".jpe", ".jfif"},  # a JPEG with a second picture behind the first, as phones write
    "PNG": {".png"},
    "WEBP": {".webp"},
    "BMP": {".bmp"},
    "GIF": {".gif"},
    "TIFF": {".tif", ".tiff"},
    "PPM": {".pbm", ".pgm", ".pnm", ".ppm"},
    "JPEG2000": {".jp2", ".j2k"},
}
SUFFIXES = frozenset().union(*ENDINGS.values())
ORIENTATION = 0x0112
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
# Others stay closed: Pillow would hand PostScript to an interpreter, for one. MPO is opened as the JPEG it begins with.
READ = tuple(name for name in ENDINGS if name != "MPO")
CMYK = "CMYK: converted to RGB"
DEEP = "16 bits a channel: scaled to 8"
PALETTE = "palette: converted to RGB"
ALPHA = "alpha channel: laid on white"
TURNED = "turned upright, as its EXIF says"
ANIMATED = "animated or of several pages: the first picture is used"
BOMB = "too large: more than 89 megapixels"
EMPTY = "empty: 0 bytes"
NO_IMAGE = "not an image, or of a format that is not read"
TRUNCATED = "truncated"
UNSCALED = "pixels of 32 bits, of which nobody knows what is white"


@dataclass(frozen=True)
class Examined:
    """What a file turned out to hold.

    Attributes:
        sha256: of the file's bytes; empty where they could not be read.
        width, height: of the upright image, in pixels; 0 where there is none.
        notes: what is done to use it; empty for an ordinary upright RGB or grey image.
        problem: why it cannot be used; empty where it can.
    """

    sha256: str
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()
    problem: str = ""


class Unusable(Exception):
    """A file that does not become an image; the message says why in a few words."""


class Unread(Unusable):
    """A file whose bytes could not be had, which may be otherwise the next time."""


def decode(file: Path) -> NDArray[np.uint8]:
    """One image file as upright RGB (height, width, 3).

    Raises:
        DataError: names the file that cannot be decoded.
    """
    try:
        return _pixels(file)[0]
    except Unusable as error:
        raise DataError(f"{file} cannot be decoded: {error}", "remove or replace the file") from None


def decode_grey(file: Path) -> NDArray[np.uint8]:
    """One image file as upright grey (height, width, 1), by ITU-R 601's weights; raises as ``decode``."""
    import numpy as np
    from PIL import Image

    grey: NDArray[np.uint8] = np.asarray(Image.fromarray(decode(file)).convert("L"))[..., None]
    return grey


def examine(file: Path) -> Examined:
    """Decode a file once, wholly, and say what it holds."""
    try:
        with file.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        image_HWC, notes = _pixels(file)
    except OSError as error:
        return Examined("", problem=f"cannot be read: {error.strerror}")
    except Unread as error:
        return Examined("", problem=str(error))
    except Unusable as error:
        return Examined(sha256, problem=str(error))
    return Examined(sha256, image_HWC.shape[1], image_HWC.shape[0], notes)


def _pixels(file: Path) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """The image, and what was done to get it."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(file, formats=READ) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Unusable(BOMB)
            notes, turn = _notes(image, file), _turn(image)
            image.load()
            upright = _rgb(image.transpose(Image.Transpose[turn]) if turn else image)
            return np.asarray(upright, np.uint8), notes
    except (Unusable, MemoryError):
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        if isinstance(error, OSError) and error.errno:
            raise Unread(f"cannot be read: {error.strerror}") from None
        raise Unusable(_why(error, file)) from None


def _notes(image: Picture, file: Path) -> tuple[str, ...]:
    """What must be done to an opened, not yet decoded image."""
    endings = ENDINGS.get(image.format or "", set())
    named = f"named {file.suffix.lower()}, but holds {image.format}: read as what it holds"
    found = {
        named: file.suffix.lower() not in endings,
        CMYK: image.mode == "CMYK",
        DEEP: _is_deep(image),
        PALETTE: image.mode in ("P", "PA"),
        ALPHA: image.has_transparency_data,
        TURNED: bool(_turn(image)),
        ANIMATED: image.format != "MPO" and getattr(image, "n_frames", 1) > 1,
    }
    return tuple(note for note, true in found.items() if true)


def _turn(image: Picture) -> str:
    """How a photograph is turned upright; EXIF data that cannot be read turns nothing."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1), "")
    except Exception:  # camera makers write anything there, and the pixels may be whole
        return ""


def _is_deep(image: Picture) -> bool:
    """Whether the file has 16 bits a channel; Pillow keeps them for grey only, and rounds colour itself."""
    packing = str(getattr(image, "tile", ""))
    return image.mode.startswith("I") or ";16" in packing


def _rgb(image: Picture) -> Picture:
    """A decoded image as 8-bit RGB."""
    import numpy as np
    from PIL import Image

    if image.mode == "F":
        raise Unusable(UNSCALED)
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65535:
            raise Unusable(UNSCALED)
        image = Image.fromarray(np.rint(deep / 257).astype(np.uint8))
    if image.has_transparency_data:
        above = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", above.size, "white"), above).convert("RGB")
    return image.convert("RGB")


def _why(error: Exception, file: Path) -> str:
    """A decoder's complaint in a few words that are the same for files with the same fault."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError):
        return BOMB
    if file.stat().st_size == 0:
        return EMPTY
    if isinstance(error, UnidentifiedImageError):
        return NO_IMAGE
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    return TRUNCATED if "truncated" in text.lower() else text
