"""What every test may use: real digits, a tiny trained network, and its int8 twin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, settings

from pipeline.aside import Aside
from pipeline.browser.web_runtime import PACKAGE, fetched, place
from pipeline.data.digits import Digits
from pipeline.dataset import DataSet
from pipeline.execute import Workshop
from pipeline.model import Model
from pipeline.models.dense import Dense
from pipeline.models.mobilenet_v3 import MobileNetV3
from pipeline.quantizers.dynamic import Dynamic
from pipeline.quantizers.post_training import PostTraining
from pipeline.stage import Context
from pipeline.trainers.supervised import Train

settings.register_profile(
    "house",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],  # shrinking would train for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("house")

TINY = MobileNetV3(size="small", width=0.25, stem_stride=1)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def nothing_remembered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests learn of image files is kept apart, and forgotten; onnxruntime-web is used where it was fetched."""
    cache = tmp_path_factory.mktemp("cache")
    if fetched():
        (cache / PACKAGE).symlink_to(place().parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWRIGHT_CACHE", str(cache))
        yield


class Kept(Aside):
    """Outlives the run that used it: starting another one means importing torch again."""

    def __exit__(self, *_: object) -> None:
        """Stay."""


@pytest.fixture(scope="session")
def kept_aside() -> Iterator[Aside]:
    """A process aside that all tests share."""
    kept = Kept()
    yield kept
    kept.close()


@pytest.fixture(scope="session", autouse=True)
def one_process_aside(kept_aside: Aside) -> Iterator[None]:
    """All runs in this process open their files in one other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("pipeline.run"), "Workshop", partial(Workshop, aside=kept_aside))
        yield


@pytest.fixture(autouse=True)
def threads_as_they_were() -> Iterator[None]:
    """A session opened by a test may set the process's thread count."""
    yield
    if torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> DataSet:
    """The real scans, fitted to 16 pixels."""
    return Digits(size=16).load()


@pytest.fixture(scope="session")
def full_context(digits: DataSet) -> Context:
    """All training images."""
    return Context(digits.splits)


@pytest.fixture(scope="session")
def context(digits: DataSet) -> Context:
    """A few images, for what only needs some."""
    splits = digits.splits
    few = {
        "train": splits.train.take(np.arange(96)),
        "calibration": splits.calibration.take(np.arange(64)),
        "validation": splits.validation.take(np.arange(64)),
    }
    return Context(replace(splits, **few))


@pytest.fixture(scope="session")
def untrained(context: Context) -> Model:
    return TINY(None, context)


@pytest.fixture(scope="session")
def trained(full_context: Context) -> Model:
    """A network small enough to train in seconds and good enough to lose something."""
    return Train(epochs=8, augment="none", lr=0.1)(TINY(None, full_context), full_context)


@pytest.fixture(scope="session")
def int8(trained: Model, full_context: Context) -> Model:
    return PostTraining()(trained, full_context)


@pytest.fixture(scope="session")
def dense(full_context: Context) -> Model:
    """A trained network of linear layers."""
    return Train(epochs=4, augment="none")(Dense(hidden=(96, 48))(None, full_context), full_context)


@pytest.fixture(scope="session")
def dynamic(dense: Model, full_context: Context) -> Model:
    return Dynamic()(dense, full_context)
