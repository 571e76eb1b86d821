"""CIFAR-10 from any of its layouts: the same images, and damaged ones are not believed."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import CIFAR10

from pipeline.data import _mosaics
from pipeline.data.cifar10 import CLASSES, Cifar10, read
from pipeline.errors import DataError

RANDOM = np.random.default_rng(0)
TILES_NHWC = RANDOM.integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)
LABELS = {"train": np.arange(20).astype(np.uint8) % 10, "test": np.arange(4).astype(np.uint8)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where CIFAR-10 belongs; mosaics are of two by two tiles, and nothing can be downloaded."""
    for name, value in {"SIDE": 2, "TILES": 4, "PIXELS": {}}.items():
        monkeypatch.setattr(_mosaics, name, value)

    def refuse(self: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(CIFAR10, "download", refuse)
    monkeypatch.setenv("EDGEWRIGHT_DATA", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    return tmp_path / "cifar10"


def batch(number: int) -> np.ndarray:
    """Four tiles that tell which batch they are of."""
    return (TILES_NHWC // 2 + number * 7).astype(np.uint8)


def mosaic(folder: Path, name: str, tiles_NHWC: np.ndarray, suffix: str = ".png", **options: Any) -> Path:
    pixels = tiles_NHWC.reshape(2, 2, 32, 32, 3).transpose(0, 2, 1, 3, 4).reshape(64, 64, 3)
    Image.fromarray(pixels).save(folder / f"{name}{suffix}", **options)
    return folder / f"{name}{suffix}"


def mosaics(folder: Path, numbers: tuple[int, ...] = (1, 2, 3, 4, 5)) -> None:
    for number in numbers:
        mosaic(folder, f"data_batch_{number}", batch(number))
    mosaic(folder, "test_batch", batch(0))
    np.savez(folder / "labels.npz", **LABELS)


def archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published layout with four images a batch, under checksums of its own."""
    place = folder / "cifar-10-batches-py"
    place.mkdir()

    def put(name: str, value: Any) -> list[str]:
        (place / name).write_bytes(pickle.dumps(value))
        return [name, hashlib.md5((place / name).read_bytes()).hexdigest()]

    def rows(tiles_NHWC: np.ndarray) -> np.ndarray:
        return tiles_NHWC.transpose(0, 3, 1, 2).reshape(4, -1)

    chunks = np.split(LABELS["train"], 5)
    monkeypatch.setattr(
        CIFAR10,
        "train_list",
        [put(f"data_batch_{n}", {"data": rows(batch(n)), "labels": chunks[n - 1].tolist()}) for n in range(1, 6)],
    )
    monkeypatch.setattr(
        CIFAR10, "test_list", [put("test_batch", {"data": rows(batch(0)), "labels": LABELS["test"].tolist()})]
    )
    name, md5 = put("batches.meta", {"label_names": list(CLASSES)})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})


def npz(folder: Path) -> None:
    x_train = np.concatenate([batch(number) for number in range(1, 6)])
    np.savez(
        folder / "cifar10.npz",
        x_train=x_train, y_train=LABELS["train"][:, None], x_test=batch(0), y_test=LABELS["test"],
    )  # fmt: skip


def test_every_layout_gives_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the published archive wins over mosaics, mosaics over an npz."""
    makers: list[Callable[[], None]] = [
        lambda: npz(folder),
        lambda: mosaics(folder),
        lambda: archive(folder, monkeypatch),
    ]
    for make in makers:
        make()
        train, test = read(folder)
        assert np.array_equal(train.x_NHWC, np.concatenate([batch(number) for number in range(1, 6)]))
        assert np.array_equal(test.x_NHWC, batch(0))
        assert train.y_N.tolist() == LABELS["train"].tolist()
        assert test.y_N.tolist() == LABELS["test"].tolist()


def test_batches_that_are_there_keep_their_labels(folder: Path) -> None:
    mosaics(folder, (2, 5))
    train, _ = read(folder)
    assert np.array_equal(train.x_NHWC, np.concatenate([batch(2), batch(5)]))
    assert train.y_N.tolist() == LABELS["train"][[4, 5, 6, 7, 16, 17, 18, 19]].tolist()


@pytest.mark.parametrize(("suffix", "options"), [(".webp", {"lossless": True}), (".png", {})])
def test_lossless_mosaics(folder: Path, suffix: str, options: dict[str, Any]) -> None:
    file = mosaic(folder, "data_batch_1", batch(1), suffix, **options)
    assert np.array_equal(_mosaics.tiles(file), batch(1))


def test_a_lossy_mosaic_of_a_known_batch_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = hashlib.sha256(batch(1).tobytes()).hexdigest()
    monkeypatch.setattr(_mosaics, "PIXELS", {"data_batch_1": known})
    assert len(_mosaics.tiles(mosaic(folder, "data_batch_1", batch(1)))) == 4
    with pytest.raises(DataError, match=r"data_batch_1\.webp does not hold CIFAR-10's pixels"):
        _mosaics.tiles(mosaic(folder, "data_batch_1", batch(1), ".webp", quality=90))


def test_a_mosaic_of_another_size(folder: Path) -> None:
    Image.new("RGB", (60, 64)).save(folder / "data_batch_1.png")
    with pytest.raises(DataError, match="is 60 by 64 pixels, and no mosaic"):
        _mosaics.tiles(folder / "data_batch_1.png")


@pytest.mark.parametrize("gone", ["test_batch", "data_batch"])
def test_mosaics_without_test_or_training_images(folder: Path, gone: str) -> None:
    mosaics(folder, (1,))
    for file in folder.glob(f"{gone}*"):
        file.unlink()
    with pytest.raises(DataError, match=f"no mosaic {gone}"):
        read(folder)


@pytest.mark.parametrize(
    "labels",
    [
        {"train": LABELS["train"][:19], "test": LABELS["test"]},
        {"train": LABELS["train"], "test": LABELS["test"] + 9},
        {"train": LABELS["train"]},
        {"train": np.array([None] * 20), "test": LABELS["test"]},
    ],
)
def test_labels_that_cannot_be(folder: Path, labels: dict[str, np.ndarray]) -> None:
    mosaics(folder)
    np.savez(folder / "labels.npz", **labels)
    with pytest.raises(DataError, match=r"labels\.npz"):
        read(folder)


def test_a_damaged_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive(folder, monkeypatch)
    (folder / "cifar-10-batches-py" / "data_batch_4").write_bytes(b"\0")
    with pytest.raises(DataError, match="is damaged: a file in it is missing or has another md5"):
        read(folder)


def test_an_npz_of_something_else(folder: Path) -> None:
    x, y = np.zeros((4, 28, 28), np.uint8), np.array([0, 1, 0, 1])
    np.savez(folder / "cifar10.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(DataError, match=r"cifar10\.npz is not CIFAR-10"):
        read(folder)


def test_nothing_there_and_no_network(folder: Path) -> None:
    with pytest.raises(DataError, match="CIFAR-10 is not there and cannot be downloaded: no network") as caught:
        Cifar10().load()
    assert str(folder) in caught.value.fix


def test_the_source_says_how_many_there_are(folder: Path) -> None:
    x, y = RANDOM.integers(0, 256, (200, 32, 32, 3)).astype(np.uint8), np.arange(200) % 10
    np.savez(folder / "cifar10.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    data = Cifar10(validation=0.2, size=36).load()
    assert data.source == "CIFAR-10, 200 of the 50,000 training images"
    assert [len(part) for part in data.parts.values()] == [160, 40, 20]
    assert data.splits.spec.shape == (3, 36, 36)
    assert data.splits.classes == CLASSES
    assert data.raw_test[0].shape == (32, 32, 3)
    assert any("of test are in train too" in sentence for sentence in data.duplicates)
