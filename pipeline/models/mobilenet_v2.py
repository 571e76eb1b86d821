"""MobileNetV2 (Sandler et al., 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from pipeline.models.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn


class MobileNetV2(Architecture):
    """MobileNetV2: inverted residuals with ReLU6, the plainest network to quantize.

    Attributes:
        width: multiplies every layer's channels.
        stem_stride: 2 as published, 1 for images of 64 pixels and less.
    """

    width: Annotated[float, Field(ge=0.1, le=2.0)] = 1.0
    stem_stride: Literal[1, 2] = 2

    def network(self, channels: int, classes: int) -> nn.Module:
        from torch import nn
        from torchvision.models import mobilenet_v2

        module: Any = mobilenet_v2(num_classes=classes, width_mult=self.width)
        stem = module.features[0][0]
        module.features[0][0] = nn.Conv2d(channels, stem.out_channels, 3, self.stem_stride, 1, bias=False)
        network: nn.Module = module
        return network
