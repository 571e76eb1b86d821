"""MNIST and Fashion-MNIST from their four files: checked before they are believed, fetched where they miss."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data._idx import IdxSource, read_idx
from pipeline.data.fashion_mnist import CLASSES, FashionMnist
from pipeline.data.mnist import Mnist
from pipeline.dataset import DataSet
from pipeline.errors import DataError

NAMES = [f"{part}-{what}-ubyte.gz" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
SETS: dict[str, type[IdxSource]] = {"MNIST": Mnist, "FashionMNIST": FashionMnist}


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    header = bytes([0, 0, kind, array.ndim]) + b"".join(edge.to_bytes(4, "big") for edge in array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def contents() -> dict[str, bytes]:
    """A hundred images to train with, forty for the test; every image's corner is its label."""
    random = np.random.default_rng(0)
    made = {}
    for part, count in (("train", 100), ("t10k", 40)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = random.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        images[:, 0, 0] = labels
        made[f"{part}-images-idx3-ubyte.gz"], made[f"{part}-labels-idx1-ubyte.gz"] = idx(images), idx(labels)
    return made


@pytest.fixture(params=SETS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The set's folder with small files, which torchvision takes for the published ones."""
    source = SETS[request.param]
    published = getattr(torchvision.datasets, request.param)
    folder = tmp_path / source.kind / request.param / "raw"
    folder.mkdir(parents=True)
    for name, content in contents().items():
        (folder / name).write_bytes(content)
    sums = [(name, hashlib.md5((folder / name).read_bytes()).hexdigest()) for name in NAMES]
    monkeypatch.setattr(published, "resources", sums)
    monkeypatch.setattr(published, "download", _refuse)
    monkeypatch.setenv("EDGEWRIGHT_DATA", str(tmp_path))
    return folder


def _refuse(self: Any) -> None:
    raise RuntimeError("Error downloading:\nTried a mirror, got:\nno route to host")


def load(folder: Path, **fields: Any) -> DataSet:
    return SETS[folder.parent.name](**fields).load()


def test_small_files(folder: Path) -> None:
    data = load(folder)
    assert [len(part) for part in data.parts.values()] == [90, 10, 40]
    assert data.splits.spec.shape == (1, 28, 28)
    for part in (*data.parts.values(), data.splits.calibration):
        assert (part.images.fitted_NHWC()[:, 0, 0, 0] == part.labels_N).all()
    assert sorted(data.splits.validation.labels_N.tolist()) == list(range(10))
    assert data.duplicates == ()
    assert data.raw_test[3].shape == (28, 28, 1)
    assert np.array_equal(data.raw_test[3], data.test.images.original(3))
    assert load(folder).digest == data.digest


def test_any_size_is_fitted(folder: Path) -> None:
    data = load(folder, size=32, validation=0.3)
    assert [len(part) for part in data.parts.values()] == [70, 30, 40]
    fitted = data.test.images.fitted_NHWC()
    assert fitted.shape == (40, 32, 32, 1)
    assert all(
        np.array_equal(data.splits.spec.fit(raw), image) for raw, image in zip(data.raw_test, fitted, strict=False)
    )


def test_class_names(folder: Path) -> None:
    expected = CLASSES if folder.parent.name == "FashionMNIST" else tuple("0123456789")
    assert load(folder).splits.classes == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_that_cannot_be_fetched(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match="cannot be downloaded: no route to host") as caught:
        load(folder)
    assert name in caught.value.fix
    assert str(folder) in caught.value.fix
    assert "EDGEWRIGHT_DATA" in caught.value.fix


def test_missing_files_are_fetched(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = load(folder).digest
    published = getattr(torchvision.datasets, folder.parent.name)
    for name in NAMES:
        (folder / name).unlink()

    def download(self: Any) -> None:
        for name, content in contents().items():
            Path(self.raw_folder, name).write_bytes(content)
            Path(self.raw_folder, name.removesuffix(".gz")).write_bytes(gzip.decompress(content))

    monkeypatch.setattr(published, "download", download)
    assert load(folder).digest == expected


@pytest.mark.parametrize("name", NAMES)
def test_another_file_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_bytes(idx(np.zeros(3, np.uint8)))
    with pytest.raises(DataError, match=rf"{name} is not the published file: its md5 is"):
        load(folder)


@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=3))
def test_idx_reads_what_it_says(shape: list[int]) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    assert np.array_equal(read_idx(idx(array)), array)


@given(cut=st.integers(0, 60), position=st.integers(0, 60), value=st.integers(0, 255))
def test_damaged_idx_is_a_data_error(cut: int, position: int, value: int) -> None:
    content = bytearray(gzip.decompress(idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))))
    content[position % len(content)] = value
    try:
        read_idx(gzip.compress(bytes(content[: len(content) - cut % len(content)])))
    except DataError:
        return
    assert cut % len(content) == 0


@pytest.mark.parametrize("content", [b"", b"no gzip", idx(np.zeros(4, np.uint8))[:-9], idx(np.zeros(4), 13)])
def test_what_is_no_idx(content: bytes) -> None:
    with pytest.raises(DataError, match="an idx file"):
        read_idx(content)
