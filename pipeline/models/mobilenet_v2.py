"""MobileNetV2 (Sandler et al., 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline.models.architecture import Architecture, Shape, Width
from pipeline.models.pretrained import IMAGENET, FromTorchvision, Published

if TYPE_CHECKING:
    from torch import nn


class MobileNetV2(Architecture):
    """MobileNetV2: inverted residuals with ReLU6, the plainest network to quantize.

    Attributes:
        width: multiplies every layer's channels.
        stem_stride: 2 as published, 1 for images of 64 pixels and less.
        second_stride: of the second group of blocks; 1 with a stem_stride of 1 for images of 32 pixels.
        padding: "symmetric", or "tensorflow" for weights from there: a strided convolution then pads
            at the bottom and right only.
    """

    normalization: ClassVar = IMAGENET
    published_form: ClassVar[str] = "width 1, stem_stride 2, second_stride 2 and symmetric padding"
    width: Width = 1.0
    stem_stride: Literal[1, 2] = 2
    second_stride: Literal[1, 2] = 2
    padding: Literal["symmetric", "tensorflow"] = "symmetric"

    def published(self) -> Published | None:
        form = (self.width, self.stem_stride, self.second_stride, self.padding)
        return FromTorchvision("MobileNet_V2_Weights.IMAGENET1K_V2") if form == (1, 2, 2, "symmetric") else None

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torch import nn
        from torchvision.models import mobilenet_v2

        from pipeline.models._layers import pad_like_tensorflow

        module: Any = mobilenet_v2(num_classes=classes, width_mult=self.width, inverted_residual_setting=self._blocks())
        stem = module.features[0][0]
        module.features[0][0] = nn.Conv2d(shape_CHW[0], stem.out_channels, 3, self.stem_stride, 1, bias=False)
        if self.padding == "tensorflow":
            pad_like_tensorflow(module, *shape_CHW[1:])
        network: nn.Module = module
        return network

    def _blocks(self) -> list[list[int]]:
        """Table 2 of the paper: expansion, channels, blocks and stride of each group."""
        second = [6, 24, 2, self.second_stride]
        last = [[6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]
        return [[1, 16, 1, 1], second, *last]
