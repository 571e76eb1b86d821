"""MobileNetV3 (Howard et al., 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from pipeline.models.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn


class MobileNetV3(Architecture):
    """MobileNetV3: hard-swish and squeeze-excite, the fewest operations at its accuracy.

    Attributes:
        size: "small" or "large", as published.
        width: multiplies every layer's channels.
        stem_stride: 2 as published, 1 for images of 64 pixels and less.
    """

    size: Literal["small", "large"] = "small"
    width: Annotated[float, Field(ge=0.1, le=2.0)] = 1.0
    stem_stride: Literal[1, 2] = 2

    def network(self, channels: int, classes: int) -> nn.Module:
        from torch import nn
        from torchvision.models import mobilenet_v3_large, mobilenet_v3_small

        family = mobilenet_v3_small if self.size == "small" else mobilenet_v3_large
        module: Any = family(num_classes=classes, width_mult=self.width)
        stem = module.features[0][0]
        module.features[0][0] = nn.Conv2d(channels, stem.out_channels, 3, self.stem_stride, 1, bias=False)
        network: nn.Module = module
        return network
