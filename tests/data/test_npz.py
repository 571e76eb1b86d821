"""Arrays in one npz: the shapes that Keras uses, and words for everything else."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.data.npz import Npz, statistics
from pipeline.dataset import DataSet, read_source
from pipeline.errors import DataError

RANDOM = np.random.default_rng(0)


def named(shape: tuple[int, ...] = (8, 8, 3), classes: int = 3, **changes: Any) -> dict[str, Any]:
    """Sixty images to train with and twelve for the test."""
    made: dict[str, Any] = {
        "x_train": RANDOM.integers(0, 256, (60, *shape)).astype(np.uint8),
        "y_train": np.arange(60) % classes,
        "x_test": RANDOM.integers(0, 256, (12, *shape)).astype(np.uint8),
        "y_test": np.arange(12) % classes,
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def load(folder: Path, fields: dict[str, Any] | None = None, **changes: Any) -> DataSet:
    np.savez(folder / "a.npz", **named(**changes))
    return Npz(path=str(folder / "a.npz"), **(fields or {})).load()


@pytest.mark.parametrize(
    ("shape", "wanted"), [((8, 8), (1, 8, 8)), ((8, 8, 1), (1, 8, 8)), ((8, 8, 3), (3, 8, 8)), ((9, 12, 3), (3, 9, 9))]
)
def test_shapes(tmp_path: Path, shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    data = load(tmp_path, shape=shape)
    assert data.splits.spec.shape == wanted
    assert [len(part) for part in data.parts.values()] == [54, 6, 12]
    assert data.splits.classes == ("0", "1", "2")
    assert data.source == "arrays in a.npz"
    for raw, fitted in zip(data.raw_test, data.test.images.fitted_NHWC(), strict=True):
        assert np.array_equal(data.splits.spec.fit(raw), fitted)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize("column", [False, True])
def test_labels(tmp_path: Path, dtype: type, column: bool) -> None:
    y = (np.arange(60) % 3).astype(dtype)
    data = load(tmp_path, y_train=y[:, None] if column else y)
    assert data.splits.train.labels_N.dtype == np.int64
    assert np.bincount(data.splits.train.labels_N).tolist() == [18, 18, 18]


def test_another_size_and_validation(tmp_path: Path) -> None:
    data = load(tmp_path, {"size": 12, "validation": 0.25})
    assert data.splits.spec.shape == (3, 12, 12)
    assert len(data.splits.validation) == 15


def test_class_names(tmp_path: Path) -> None:
    assert load(tmp_path).splits.classes == ("0", "1", "2")
    np.savez(tmp_path / "a.npz", **named(), classes=np.array(["ant", "bee", "cat"]))
    assert read_source(f"npz:{tmp_path / 'a.npz'}").load().splits.classes == ("ant", "bee", "cat")


@given(
    x_NHWC=arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3])))
)
def test_statistics_are_those_of_the_pixels(x_NHWC: np.ndarray) -> None:
    mean, std = statistics(x_NHWC)
    np.testing.assert_allclose(mean, (x_NHWC / 255).mean((0, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(std, np.maximum((x_NHWC / 255).std((0, 1, 2)), 1 / 255), atol=1e-4)


UINT8 = np.zeros((60, 8, 8, 3), np.uint8)
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "missing": ({"x_test": None, "y_test": None}, "has no x_test, y_test; it has x_train, y_train", "savez"),
    "float": ({"x_train": UINT8 / 255}, "x_train is float64, and images are uint8", r"255 \* x"),
    "bool": ({"x_train": UINT8 > 3}, "x_train is bool", r"255 \* x"),
    "int": ({"x_train": UINT8.astype(np.int32)}, "x_train is int32", r"x\.astype"),
    "flat": ({"x_train": UINT8.reshape(60, -1)}, r"x_train has the shape \(60, 192\)", "height"),
    "four channels": ({"x_train": np.zeros((60, 8, 8, 4), np.uint8)}, r"\(60, 8, 8, 4\)", "height"),
    "no images": ({"x_test": UINT8[:0]}, r"x_test has the shape \(0, 8, 8, 3\)", "height"),
    "channels differ": ({"x_test": np.zeros((12, 8, 8), np.uint8)}, "differ in channels", "grey"),
    "lengths": ({"y_train": np.arange(59) % 3}, "x_train has 60 images, but y_train 59 labels", "one label"),
    "one-hot": ({"y_train": np.eye(3)[np.arange(60) % 3]}, r"y_train has the shape \(60, 3\)", "argmax"),
    "float labels": ({"y_train": np.arange(60) % 3 * 1.0}, "y_train is float64", "astype"),
    "negative": ({"y_train": np.arange(60) % 3 - 1}, "y_train has the label -1", "from 0"),
    "unseen": ({"y_test": np.arange(12) % 4}, "y_test has class 3, which y_train lacks", "every class"),
    "gap": ({"y_train": np.arange(60) % 3 * 2, "y_test": np.zeros(12, int)}, "has the label 1", "0, 1, 2"),
    "one class": ({"classes": 1}, "has 1 class", "two classes"),
    "objects": ({"x_train": np.array([None] * 60)}, "array of Python objects", "stack"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be(tmp_path: Path, name: str) -> None:
    changes, cause, fix = WRONG[name]
    with pytest.raises(DataError, match=rf"a\.npz.*{cause}") as caught:
        load(tmp_path, **changes)
    assert re.search(fix, caught.value.fix)
    assert len(caught.value.lines()) <= 6


@pytest.mark.parametrize("names", [["ant", "bee"], ["ant", "bee", "bee"]])
def test_class_names_that_cannot_be(tmp_path: Path, names: list[str]) -> None:
    np.savez(tmp_path / "a.npz", **named(), classes=np.array(names))
    with pytest.raises(DataError, match="classes has 2 different names for 3 classes"):
        Npz(path=str(tmp_path / "a.npz")).load()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 no zip", b"some text", b"\x93NUMPY"])
def test_what_is_no_npz(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz cannot be read as an npz|holds an array of Python objects"):
        Npz(path=str(tmp_path / "a.npz")).load()


def test_a_single_array_and_no_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", UINT8)
    with pytest.raises(DataError, match="is a single array"):
        Npz(path=str(tmp_path / "a.npy")).load()
    with pytest.raises(DataError, match="is not a file"):
        Npz(path=str(tmp_path / "none.npz")).load()


@given(cut=st.integers(1, 3000), position=st.integers(0, 10**5), value=st.integers(0, 255))
def test_damage_is_nothing_but_a_data_error(
    cut: int, position: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.npz"
    np.savez(file, **named())
    content = bytearray(file.read_bytes())
    content[position % len(content)] = value
    file.write_bytes(content[:-cut] if cut % 2 else content)
    with contextlib.suppress(DataError):
        Npz(path=str(file)).load()
