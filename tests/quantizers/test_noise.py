"""The noise of int8, layer by layer, under the names that the runtime's profile has."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.artifact import Artifact
from pipeline.exporters.onnx import ExportOnnx
from pipeline.layers import ADDED
from pipeline.model import Model
from pipeline.quantizers.noise import _sqnr_db, layer_noise
from pipeline.runtime import Kernel
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stage import Context


@pytest.fixture(scope="module")
def profiled(int8: Model, context: Context, tmp_path_factory: pytest.TempPathFactory) -> tuple[Kernel, ...]:
    folder = tmp_path_factory.mktemp("int8")
    ExportOnnx()(int8, context).save(folder)
    return OnnxRuntime().profile(Artifact.load(folder), context.data.validation.x_NCHW(0, 1), 1)


@pytest.fixture(scope="module")
def noise(int8: Model, context: Context) -> dict[str, float]:
    return layer_noise(int8, context.data.validation.x_NCHW(0, 4))


def test_every_convolution_of_the_profile_has_its_noise(profiled: tuple[Kernel, ...], noise: dict[str, float]) -> None:
    convolutions = [kernel for kernel in profiled if kernel.kernel == "QLinearConv"]
    assert len(convolutions) > 10
    assert [kernel.name for kernel in convolutions if ADDED.sub("", kernel.name) not in noise] == []


def test_noise_is_finite_and_plausible(noise: dict[str, float]) -> None:
    assert all(math.isfinite(sqnr_db) for sqnr_db in noise.values())
    assert 5 < np.median(list(noise.values())) < 60


def test_the_last_layer_agrees_with_the_logits(int8: Model, noise: dict[str, float], context: Context) -> None:
    assert list(noise)[-1].startswith("linear")
    assert list(noise.values())[-1] > 10


def test_a_float_network_is_never_asked(trained: Model, context: Context) -> None:
    with pytest.raises(AssertionError):
        layer_noise(trained, context.data.validation.x_NCHW(0, 4))


def test_the_model_is_as_it_was(int8: Model, context: Context) -> None:
    x_NCHW = context.data.validation.x_NCHW(0, 4)
    before = int8.logits_NK(x_NCHW)
    layer_noise(int8, x_NCHW)
    assert (int8.logits_NK(x_NCHW) == before).all()


@pytest.mark.parametrize(
    ("exact", "rounded", "sqnr_db"), [([3.0, 4.0], [3.0, 3.5], 20.0), ([1.0], [1.0], 150.0), ([0.0], [0.0], 0.0)]
)
def test_by_hand(exact: list[float], rounded: list[float], sqnr_db: float) -> None:
    assert _sqnr_db(torch.tensor(exact), torch.tensor(rounded)) == pytest.approx(sqnr_db, abs=0.1)


def test_a_profile_leaves_nothing_behind(
    int8: Model, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ExportOnnx()(int8, context).save(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    kernels = OnnxRuntime().profile(Artifact.load(tmp_path), context.data.validation.x_NCHW(0, 1), 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert all(kernel.ms >= 0 for kernel in kernels)
    assert len({(kernel.name, kernel.kernel) for kernel in kernels}) == len(kernels)
