"""Predictions come back as they were written, and never run code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from faults import flip_bit
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.predictions import PREDICTIONS, Predictions


def predictions(images: int = 9, variants: int = 3, mistakes: int = 2, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    return Predictions(
        rng.integers(5, size=images).astype(np.int32),
        rng.integers(5, size=(variants, images)).astype(np.int32),
        rng.random((variants, images)).astype(np.float32),
        rng.integers(images, size=mistakes).astype(np.int32),
        rng.integers(256, size=(mistakes, 4, 4, 1)).astype(np.uint8),
    )


@given(st.integers(1, 50), st.integers(1, 5), st.integers(0, 3), st.integers(0, 9))
def test_round_trip(images: int, variants: int, mistakes: int, seed: int) -> None:
    import tempfile

    written = predictions(images, variants, mistakes, seed)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / PREDICTIONS).write_bytes(written.to_bytes())
        read = Predictions.load(Path(folder))
    assert read is not None
    for name, array in vars(written).items():
        np.testing.assert_array_equal(getattr(read, name), array)
        assert getattr(read, name).dtype == array.dtype


def test_who_is_right() -> None:
    made = Predictions(np.array([0, 1, 2]), np.array([[0, 1, 1], [2, 1, 2]]), *(np.zeros(0),) * 3)
    assert made.right_N(0).tolist() == [True, True, False]
    assert made.right_N(1).tolist() == [False, True, True]


def test_none_where_there_are_none(tmp_path: Path) -> None:
    assert Predictions.load(tmp_path) is None


def test_the_same_answers_are_the_same_file() -> None:
    assert predictions().to_bytes() == predictions().to_bytes()


@pytest.mark.parametrize("damage", ["", "text", "truncated", "bit", "another array", "objects"])
def test_damage_is_told(damage: str, tmp_path: Path) -> None:
    path, content = tmp_path / PREDICTIONS, predictions().to_bytes()
    if damage in ("another array", "objects"):
        array = np.zeros(3) if damage == "another array" else np.array([{}])
        np.savez(path, **{**vars(predictions()), "labels_N" if damage == "objects" else "more": array})
    else:
        path.write_bytes({"": b"", "text": b"x", "truncated": content[:200]}.get(damage, content))
    if damage == "bit":
        flip_bit(path, 8 * 100)
    with pytest.raises(UsageError, match=PREDICTIONS) as caught:
        Predictions.load(tmp_path)
    assert caught.value.fix
