"""Images and labels in one npz: read without trust, and what does not fit is named."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.data._arrays import Arrays
from pipeline.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEYS = ("x_train", "y_train", "x_test", "y_test")


def read_npz(file: Path) -> tuple[Arrays, Arrays, tuple[str, ...]]:
    """Training images, test images and the classes' names, which are numbers unless given.

    Raises:
        DataError: the file or an array in it cannot be used; says which, and what to do.
    """
    named = _arrays(file)
    if missing := [key for key in KEYS if key not in named]:
        cause = f"{file} has no {', '.join(missing)}; it has {', '.join(named) or 'nothing'}"
        raise DataError(cause, f"save it as numpy.savez(file, {', '.join(f'{key}=…' for key in KEYS)})")
    train, test = (_pair(file, named, part) for part in ("train", "test"))
    if train.x_NHWC.shape[3] != test.x_NHWC.shape[3]:
        raise DataError(f"{file}: x_train and x_test differ in channels", "make both grey, or both RGB")
    return train, test, _classes(file, named, train, test)


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    import numpy as np

    if not file.is_file():
        raise DataError(f"{file} is not a file", "give the path of an npz")
    try:
        opened = np.load(file, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            raise DataError(f"{file} is a single array, and no npz", f"save {', '.join(KEYS)} with numpy.savez")
        with opened as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if "Object arrays" in str(error):
            cause = f"{file} holds an array of Python objects, which only pickle could read"
            raise DataError(cause, "save uint8 images of one size: numpy.stack them first") from None
        raise DataError(f"{file} cannot be read as an npz: {error}", "write it with numpy.savez") from None


def _pair(file: Path, named: dict[str, NDArray[Any]], part: str) -> Arrays:
    """The images and labels of one part, as arrays of the shapes we use."""
    x_NHWC, y_N = _images(file, f"x_{part}", named[f"x_{part}"]), _labels(file, f"y_{part}", named[f"y_{part}"])
    if len(x_NHWC) != len(y_N):
        cause = f"{file}: x_{part} has {len(x_NHWC)} images, but y_{part} {len(y_N)} labels"
        raise DataError(cause, "give every image one label")
    return Arrays(x_NHWC, y_N)


def _images(file: Path, key: str, x: NDArray[Any]) -> NDArray[np.uint8]:
    if x.dtype != "uint8":
        scale = "values in 0…1: (255 * x).round().astype('uint8')" if x.dtype.kind in "fb" else "x.astype('uint8')"
        raise DataError(f"{file}: {key} is {x.dtype}, and images are uint8 from 0 to 255", f"convert it, for {scale}")
    x_NHWC = x[..., None] if x.ndim == 3 else x
    if x_NHWC.ndim != 4 or x_NHWC.shape[3] not in (1, 3) or not x_NHWC.size:
        cause = f"{file}: {key} has the shape {x.shape}"
        raise DataError(cause, "images are (N, height, width), (N, height, width, 1) or (N, height, width, 3)")
    return x_NHWC


def _labels(file: Path, key: str, y: NDArray[Any]) -> NDArray[np.int64]:
    import numpy as np

    y_N = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if y_N.ndim != 1:
        fix = "one class index an image: (N,) or (N, 1); one-hot labels become that by .argmax(1)"
        raise DataError(f"{file}: {key} has the shape {y.shape}", fix)
    if y_N.dtype.kind not in "iu":
        raise DataError(f"{file}: {key} is {y_N.dtype}, and labels are whole numbers", f"{key}.astype('int64')")
    if y_N.size and y_N.min() < 0:
        raise DataError(f"{file}: {key} has the label {y_N.min()}", "number the classes from 0 on")
    return y_N.astype(np.int64)


def _classes(file: Path, named: dict[str, NDArray[Any]], train: Arrays, test: Arrays) -> tuple[str, ...]:
    """Names of the classes 0 … K−1, each of which train has, and test no other."""
    import numpy as np

    seen = set(np.unique(train.y_N).tolist())
    if unseen := sorted(set(np.unique(test.y_N).tolist()) - seen):
        raise DataError(f"{file}: y_test has class {unseen[0]}, which y_train lacks", "train on every class")
    if gaps := sorted(set(range(max(seen) + 1)) - seen):
        raise DataError(f"{file}: no training image has the label {gaps[0]}", "number the classes 0, 1, 2, …")
    if len(seen) < 2:
        raise DataError(f"{file} has 1 class", "two classes are the least")
    names = tuple(str(name) for name in named["classes"].tolist()) if "classes" in named else ()
    if names and (len(names) != len(seen) or len(set(names)) != len(names)):
        cause = f"{file}: classes has {len(set(names))} different names for {len(seen)} classes"
        raise DataError(cause, "give one name a class, in the order of the labels")
    return names or tuple(str(label) for label in sorted(seen))
