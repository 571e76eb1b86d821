"""CIFAR-10, from the published archive, from mosaics of 10,000 tiles, or from one npz."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.data._arrays import Arrays, divided
from pipeline.data._mosaics import read_mosaics
from pipeline.data._npz import read_npz
from pipeline.data._root import DATA, data_root, fetch
from pipeline.dataset import DataSet, Source
from pipeline.errors import DataError
from pipeline.progress import Progress, silent
from pipeline.spec import InputSpec, Positive

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
TRAINING = 50_000
SHAPE = (32, 32, 3)
ARCHIVE, LABELS, NPZ = "cifar-10-batches-py", "labels.npz", "cifar10.npz"


class Cifar10(Source):
    """CIFAR-10: ten kinds of things, 32 × 32 colour, 50,000 and 10,000 for the test.

    Attributes:
        size: edge of the network's input, in pixels.
        validation: share of the training images kept for validation, each class alike.
    """

    kind: ClassVar[str] = "cifar10"
    size: Positive = 32
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1

    def load(self, progress: Progress = silent) -> DataSet:
        train, test = read(data_root() / self.kind)
        spec = InputSpec(size=(self.size, self.size), resize=self.size, mean=MEAN, std=STD)
        whole = len(train.y_N) == TRAINING
        source = "CIFAR-10" if whole else f"CIFAR-10, {len(train.y_N):,} of the {TRAINING:,} training images"
        return divided(train, test, CLASSES, spec, self.validation, source)


def read(folder: Path) -> tuple[Arrays, Arrays]:
    """Training and test images from what is there: the archive, mosaics or npz; else downloaded.

    Raises:
        DataError: nothing is there and nothing can be downloaded, or what is there is damaged.
    """
    if not (folder / ARCHIVE).is_dir():
        if (folder / LABELS).is_file():
            return read_mosaics(folder)
        if (folder / NPZ).is_file():
            return _saved(folder / NPZ)
        fix = f"put {ARCHIVE}/, or {NPZ}, into {folder} (${DATA} names another root)"
        fetch("CIFAR-10", lambda: _published(folder, train=True, download=True), fix)
    return _published(folder, train=True), _published(folder, train=False)


def _saved(file: Path) -> tuple[Arrays, Arrays]:
    """Arrays as one npz, if they can be CIFAR-10's."""
    train, test, classes = read_npz(file)
    if train.x_NHWC.shape[1:] != SHAPE or test.x_NHWC.shape[1:] != SHAPE or len(classes) != len(CLASSES):
        raise DataError(f"{file} is not CIFAR-10: it needs 32 by 32 colour images of 10 classes")
    return train, test


def _published(folder: Path, train: bool, download: bool = False) -> Arrays:
    """The published archive; torchvision checks the md5 of every file in it before it reads one."""
    import numpy as np
    from torchvision.datasets import CIFAR10

    try:
        found = CIFAR10(str(folder), train=train, download=download)
    except RuntimeError:
        if download:
            raise  # the caller says what to do instead
        cause = f"{folder / ARCHIVE} is damaged: a file in it is missing or has another md5"
        raise DataError(cause, "delete the folder and run again, or unpack the published archive there") from None
    return Arrays(found.data, np.array(found.targets, np.int64))
