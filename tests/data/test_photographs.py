"""Photographs in files: the same pixels whether decoded when asked for or held in memory."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from photo_kit import fill

from pipeline.data import _photographs
from pipeline.data._decode import decode
from pipeline.data._photographs import Photographs
from pipeline.errors import DataError
from pipeline.files import sha256_of
from pipeline.images import Held
from pipeline.spec import InputSpec

SPEC = InputSpec(size=(8, 8), resize=9)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Photographs:
    root = tmp_path_factory.mktemp("photographs")
    fill(root, 6)
    files = tuple(sorted(root.rglob("*.png")))
    return Photographs(files, tuple(sha256_of(file) for file in files), SPEC)


@given(start=st.integers(-14, 14), stop=st.none() | st.integers(-14, 14), kept=st.booleans())
def test_slices_are_those_of_all_images_fitted(
    start: int, stop: int | None, kept: bool, photographs: Photographs
) -> None:
    images = photographs.keep() if kept else photographs
    expected = np.stack([SPEC.fit(decode(file)) for file in photographs.files])
    assert np.array_equal(images.fitted_NHWC(start, stop), expected[start:stop])


@given(indices=st.lists(st.integers(0, 11)))
def test_taking_keeps_files_and_hashes_together(indices: list[int], photographs: Photographs) -> None:
    chosen = photographs.take(np.array(indices, np.int64))
    assert chosen.files == tuple(photographs.files[index] for index in indices)
    assert chosen.hashes() == tuple(sha256_of(file) for file in chosen.files)
    assert chosen.fitted_NHWC().shape == (len(indices), 8, 8, 3)


def test_originals_are_as_large_as_they_came(photographs: Photographs) -> None:
    assert np.array_equal(photographs.original(3), decode(photographs.files[3]))
    assert len({photographs.original(index).shape for index in range(12)}) > 6


def test_held_images_are_known_by_their_files(photographs: Photographs) -> None:
    held = photographs.held()
    assert isinstance(held, Held)
    assert np.array_equal(held.array_NHWC, photographs.fitted_NHWC())
    assert held.hashes() == photographs.hashes()
    assert held.take(np.array([4, 1])).hashes() == (photographs.sha256[4], photographs.sha256[1])
    assert held.held().hashes() == held.hashes()


def test_kept_images_are_decoded_once(photographs: Photographs, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Path] = []

    def recording(file: Path) -> np.ndarray:
        decoded.append(file)
        return decode(file)

    monkeypatch.setattr(_photographs, "decode", recording)
    kept = photographs.keep()
    assert decoded == []
    for _ in range(3):
        kept.fitted_NHWC(2, 5)
    assert sorted(decoded) == sorted(photographs.files)


def test_what_would_take_too_much_memory_stays_in_files(
    photographs: Photographs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_photographs, "KEPT_BYTES", 12 * 8 * 8 * 3 - 1)
    assert not photographs.keep().kept
    monkeypatch.setattr(_photographs, "KEPT_BYTES", 12 * 8 * 8 * 3)
    assert photographs.keep().kept


def test_another_process_gets_the_files_and_not_the_pixels(photographs: Photographs) -> None:
    kept = photographs.keep()
    small = len(pickle.dumps(kept))
    kept.fitted_NHWC()
    assert len(pickle.dumps(kept)) == small
    assert np.array_equal(pickle.loads(pickle.dumps(kept)).fitted_NHWC(), kept.fitted_NHWC())


class Originals(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Shapes of originals, as a data loader asks for them."""

    def __init__(self, images: Photographs) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[int, ...]:
        return self.images.original(index).shape


def test_loader_workers_decode(photographs: Photographs) -> None:
    loader = torch.utils.data.DataLoader(Originals(photographs), batch_size=None, num_workers=2)
    assert [tuple(shape) for shape in loader] == [photographs.original(index).shape for index in range(12)]


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    gone = Photographs((tmp_path / "gone.png",), ("0" * 64,), SPEC)
    with pytest.raises(DataError, match=r"gone\.png cannot be decoded"):
        gone.fitted_NHWC()
