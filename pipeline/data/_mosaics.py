"""CIFAR-10 as lossless mosaics: a hundred rows of a hundred tiles, one picture a batch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data._arrays import Arrays
from pipeline.data._decode import decode
from pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE, TILE = 100, 32
TILES = SIDE * SIDE
BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
SUFFIXES = (".png", ".webp")
# sha256 of a batch's decoded tiles, row by row; the others are taken as they are.
PIXELS = {
    "data_batch_1": "fc115a3de050d667b88cbd5b0b9612ebf996c54230fe7758f3a14bb5af9a1c27",
    "data_batch_2": "89e609b642f687bc796fa3bfa4211005582a0e8131d463d996d11ddb297d312e",
    "test_batch": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
}


def read_mosaics(folder: Path) -> tuple[Arrays, Arrays]:
    """Training images of as many batches as are there, and the test images, with ``labels.npz``.

    Raises:
        DataError: a mosaic is missing or is not CIFAR-10's, or labels do not belong to it.
    """
    import numpy as np

    found = {name: file for name in (*BATCHES, TEST) if (file := _mosaic(folder, name))}
    present = [name for name in BATCHES if name in found]
    if TEST not in found or not present:
        cause = f"{folder} has labels.npz, but no mosaic {TEST if present else BATCHES[0]}{' or '.join(SUFFIXES)}"
        raise DataError(cause, "put the mosaics next to labels.npz: 100 by 100 tiles of 32 by 32 pixels, lossless")
    train_y_N, test_y_N = _labels(folder / "labels.npz")
    wanted = np.concatenate([np.arange(TILES) + TILES * BATCHES.index(name) for name in present])
    train = np.concatenate([tiles(found[name]) for name in present])
    return Arrays(train, train_y_N[wanted]), Arrays(tiles(found[TEST]), test_y_N)


def _mosaic(folder: Path, name: str) -> Path | None:
    return next((folder / f"{name}{suffix}" for suffix in SUFFIXES if (folder / f"{name}{suffix}").is_file()), None)


def _labels(file: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels of all 50,000 training images and of the 10,000 test images."""
    import numpy as np

    try:
        with np.load(file, allow_pickle=False) as arrays:
            train, test = (arrays[name].astype(np.int64) for name in ("train", "test"))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{file} cannot be read: {error}", "it needs the arrays train and test") from None
    for name, labels, count in (("train", train, TILES * len(BATCHES)), ("test", test, TILES)):
        if labels.shape != (count,) or labels.min() < 0 or labels.max() > 9:
            raise DataError(f"{file}: {name} is not {count:,} labels from 0 to 9", "take CIFAR-10's own labels")
    return train, test


def tiles(file: Path) -> NDArray[np.uint8]:
    """The tiles of one mosaic, row by row: uint8 (10000, 32, 32, 3).

    Raises:
        DataError: it has another size, or its pixels are not those of CIFAR-10.
    """
    import numpy as np

    image_HWC = decode(file)
    if image_HWC.shape[:2] != (SIDE * TILE, SIDE * TILE):
        height, width = image_HWC.shape[:2]
        raise DataError(f"{file} is {width} by {height} pixels, and no mosaic of {TILES:,} tiles of {TILE} by {TILE}")
    apart = image_HWC.reshape(SIDE, TILE, SIDE, TILE, 3).transpose(0, 2, 1, 3, 4)
    x_NHWC = np.ascontiguousarray(apart).reshape(TILES, TILE, TILE, 3)
    if file.stem in PIXELS and hashlib.sha256(x_NHWC.tobytes()).hexdigest() != PIXELS[file.stem]:
        raise DataError(f"{file} does not hold CIFAR-10's pixels", "take a lossless mosaic: PNG, or lossless WebP")
    return x_NHWC
