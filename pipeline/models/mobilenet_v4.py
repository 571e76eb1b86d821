"""MobileNetV4 (Qin et al., 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pipeline.models.architecture import Architecture, Shape, Width, scaled
from pipeline.models.pretrained import IMAGENET

if TYPE_CHECKING:
    from torch import nn


class _Block(NamedTuple):
    """A universal inverted bottleneck: kernels of its two depthwise convolutions, 0 where there is none."""

    first: int
    middle: int
    outputs: int
    expansion: float
    stride: int = 1


# The paper's table of Conv-S after the fused stages: two groups of bottlenecks.
GROUPS = (
    (_Block(5, 5, 96, 3.0, 2), *(_Block(0, 3, 96, 2.0),) * 4, _Block(3, 0, 96, 4.0)),
    (
        _Block(3, 3, 128, 6.0, 2),
        _Block(5, 5, 128, 4.0),
        _Block(0, 5, 128, 4.0),
        _Block(0, 5, 128, 3.0),
        *(_Block(0, 3, 128, 4.0),) * 2,
    ),
)


class MobileNetV4(Architecture):
    """MobileNetV4 Conv-Small: only convolutions and ReLU, made for every mobile accelerator.

    Layers have the names that timm's ``mobilenetv4_conv_small`` gives them, so its weights fit.

    Attributes:
        width: multiplies every layer's channels.
        stem_stride: 2 as published, 1 for images of 64 pixels and less.
    """

    normalization: ClassVar = IMAGENET
    width: Width = 1.0
    stem_stride: Literal[1, 2] = 2

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torch import nn

        from pipeline.models._layers import convolution, in_a_row, initialized

        stem, top, last = (scaled(channels, self.width) for channels in (32, 960, 1280))
        layers = {
            "conv_stem": convolution(shape_CHW[0], stem, 3, self.stem_stride),
            "bn1": nn.BatchNorm2d(stem),
            "act1": nn.ReLU(),
            "blocks": self._blocks(stem, top),
            "global_pool": nn.AdaptiveAvgPool2d(1),
            "conv_head": convolution(top, last),
            "norm_head": nn.BatchNorm2d(last),
            "act2": nn.ReLU(),
            "flatten": nn.Flatten(),
            "classifier": nn.Linear(last, classes),
        }
        return initialized(in_a_row(layers))

    def _blocks(self, stem: int, top: int) -> nn.Module:
        """Two stages of plain convolutions, two groups of bottlenecks, and the widening at the top."""
        from torch import nn

        two, middle, three = (scaled(channels, self.width) for channels in (32, 96, 64))
        groups: list[nn.Module] = [
            nn.Sequential(_plain(stem, two, 3, 2), _plain(two, two)),
            nn.Sequential(_plain(two, middle, 3, 2), _plain(middle, three)),
        ]
        inputs = three
        for blocks in GROUPS:
            group = nn.Sequential()
            for block in blocks:
                outputs = scaled(block.outputs, self.width)
                group.append(_bottleneck(inputs, outputs, block))
                inputs = outputs
            groups.append(group)
        return nn.Sequential(*groups, nn.Sequential(_plain(inputs, top)))


def _plain(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Module:
    from torch import nn

    from pipeline.models._layers import convolution, in_a_row

    conv = convolution(inputs, outputs, kernel, stride)
    return in_a_row({"conv": conv, "bn1": nn.BatchNorm2d(outputs), "act": nn.ReLU()})


def _bottleneck(inputs: int, outputs: int, block: _Block) -> nn.Module:
    """Depthwise, expansion, depthwise, projection; the last depthwise convolution strides."""
    from pipeline.models._layers import Residual

    hidden = scaled(round(inputs * block.expansion), 1.0)
    layers = {}
    if block.first:
        stride = 1 if block.middle else block.stride
        layers["dw_start"] = _normalized(inputs, inputs, block.first, stride, inputs, rectified=False)
    layers["pw_exp"] = _normalized(inputs, hidden)
    if block.middle:
        layers["dw_mid"] = _normalized(hidden, hidden, block.middle, block.stride, hidden)
    layers["pw_proj"] = _normalized(hidden, outputs, rectified=False)
    return Residual(layers, added=block.stride == 1 and inputs == outputs)


def _normalized(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, rectified: bool = True
) -> nn.Module:
    from torch import nn

    from pipeline.models._layers import convolution, in_a_row

    layers: dict[str, nn.Module] = {"conv": convolution(inputs, outputs, kernel, stride, groups)}
    layers["bn"] = nn.BatchNorm2d(outputs)
    return in_a_row({**layers, **({"act": nn.ReLU()} if rectified else {})})
