"""Learned numbers and multiply-accumulates of an ONNX file, against PyTorch's own count."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from tiny import FAMILIES
from torch import nn

from pipeline.exporters.onnx import write_module
from pipeline.measure.size import count_macs, count_params
from pipeline.models.architecture import Network
from pipeline.rewrites.costs import costs
from pipeline.spec import InputSpec

SPEC = InputSpec(size=(32, 32), resize=32)


@pytest.mark.parametrize("name", ["mobilenet_v2", "shufflenet_v2", "dense"])
def test_counts_as_pytorch_does(name: str, tmp_path: Path) -> None:
    blueprint = Network(family=FAMILIES[name], shape=SPEC.shape, classes=10)
    write_module(blueprint.skeleton(), SPEC.shape, tmp_path / "net.onnx")
    params, macs = costs(onnx.load(tmp_path / "net.onnx"))
    assert macs == count_macs(blueprint, SPEC)
    # The exporter folds normalizations: a scale and a shift for each channel become one bias.
    assert 0.8 * count_params(blueprint) <= params <= count_params(blueprint)


def test_products_of_matrices_count_what_each_output_sums(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(48, 5, bias=False))
    write_module(module.eval(), (3, 4, 4), tmp_path / "net.onnx")
    assert costs(onnx.load(tmp_path / "net.onnx")) == (48 * 5, 48 * 5)
    assert module(torch.zeros(1, 3, 4, 4)).shape == (1, 5)
