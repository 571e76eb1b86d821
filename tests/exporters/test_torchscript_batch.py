"""A traced int8 file takes any number of images, also of a network that shuffles channels."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from tiny import family, inputs

from pipeline.exporters.torchscript import ExportTorchScript
from pipeline.model import Model
from pipeline.quantizers.post_training import PostTraining
from pipeline.stage import Context

SHUFFLES = "shufflenet_v2"


@pytest.mark.parametrize("name", [SHUFFLES, "resnet18"])
def test_int8_answers_any_number_of_images(name: str, untrained: Model, context: Context, tmp_path: Path) -> None:
    int8 = PostTraining(rounding="nearest", correct_bias=False)(family(name, untrained), context)
    ExportTorchScript().write(int8, tmp_path / "model.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(tmp_path / "model.pt")
    x_NCHW = inputs(int8, count=5)
    alone = torch.cat([module(x_NCHW[index : index + 1]) for index in range(5)])
    torch.testing.assert_close(module(x_NCHW), alone)
