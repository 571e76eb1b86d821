"""What the families brought: hidden linear layers, pooling and asymmetric padding in every format, float and int8."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny import family, hand_made
from torch import nn

from pipeline.artifact import Artifact
from pipeline.exporters.exporter import Exporter
from pipeline.exporters.onnx import ExportOnnx
from pipeline.exporters.pt2 import ExportPt2
from pipeline.exporters.torchscript import ExportTorchScript
from pipeline.measure.parity import check_parity, compare_logits
from pipeline.model import Model
from pipeline.quantizers.aware import QuantizationAware
from pipeline.quantizers.post_training import PostTraining
from pipeline.runtime import Runtime
from pipeline.runtimes.eager import Eager
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.runtimes.torchscript import TorchScript
from pipeline.stage import Context

FORMATS: dict[str, tuple[Exporter, Runtime]] = {
    "onnx": (ExportOnnx(), OnnxRuntime()),
    "pt2": (ExportPt2(), Eager()),
    "torchscript": (ExportTorchScript(), TorchScript()),
}
every_format = pytest.mark.parametrize("format_", FORMATS)


class Padded(nn.Module):
    """Both kernels with TensorFlow's padding, the first of them on the image itself."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(1, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(8, 8, 5, 2, groups=8), nn.BatchNorm2d(8), nn.ReLU6(),
        )  # fmt: skip
        self.pool, self.flat, self.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return self.head(self.flat(self.pool(self.features(x_NCHW))))


@pytest.fixture(scope="module")
def padded(context: Context) -> Model:
    return replace(hand_made(Padded, channels=1), spec=context.data.spec, classes=context.data.classes)


def exported(model: Model, format_: str, context: Context, folder: Path) -> Artifact:
    """The artifact, once its runtime has answered as the model does."""
    exporter, runtime = FORMATS[format_]
    exporter(model, context).save(folder)
    artifact = Artifact.load(folder)
    probe, session = artifact.probe(), runtime.open(artifact, threads=1)
    x_NCHW = artifact.manifest.input.normalize(probe.fitted_NHWC)
    found = np.concatenate([session(x_NCHW[i : i + 1]) for i in range(len(x_NCHW))])
    check_parity(compare_logits(probe.logits_NK, found), model.integer, format_)
    return artifact


def sqnr_db(model: Model, like: Model, context: Context) -> float:
    x_NCHW = context.data.validation.x_NCHW()
    return compare_logits(like.logits_NK(x_NCHW), model.logits_NK(x_NCHW)).sqnr_db


@every_format
def test_asymmetric_padding(format_: str, padded: Model, context: Context, tmp_path: Path) -> None:
    exported(padded, format_, context, tmp_path)


@every_format
@pytest.mark.parametrize("stage", [PostTraining(), QuantizationAware(epochs=1, batch=32)], ids=["after", "aware"])
def test_asymmetric_padding_in_int8(
    stage: PostTraining, format_: str, padded: Model, context: Context, tmp_path: Path
) -> None:
    model = stage(padded, context)
    artifact = exported(model, format_, context, tmp_path)
    if format_ == "onnx":  # the padding is the convolutions' own: no float between integer kernels
        assert not [node for node in onnx.load(artifact.path).graph.node if node.op_type == "Pad"]


def test_padding_keeps_the_scale_of_what_it_pads(padded: Model, context: Context) -> None:
    graph = PostTraining()(padded, context).module.graph  # type: ignore[union-attr]
    pads = [node for node in graph.nodes if str(node.target) == "aten.pad.default"]  # type: ignore[union-attr]
    assert len(pads) == 2
    for pad in pads:
        [after] = pad.users
        assert pad.args[0].args[1:3] == after.args[1:3]


@pytest.mark.parametrize("name", ["dense", "lenet", "vgg11", "efficientnet_lite0", "mobilenet_v4"])
def test_int8_of_a_family(name: str, untrained: Model, context: Context, tmp_path: Path) -> None:
    """Integer kernels answer like the reference, which answers like the float network."""
    model = family(name, untrained)
    quantized = PostTraining()(model, context)
    assert sqnr_db(quantized, model, context) > 12
    exported(quantized, "torchscript", context, tmp_path)


@pytest.mark.parametrize("name", ["dense", "lenet"])
def test_int8_onnx_of_a_family(name: str, untrained: Model, context: Context, tmp_path: Path) -> None:
    exported(PostTraining()(family(name, untrained), context), "onnx", context, tmp_path)
