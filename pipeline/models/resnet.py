"""Residual networks (He et al., 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipeline.models.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn


class ResNet18(Architecture):
    """ResNet-18, 11 million parameters: the full-size model and teacher.

    Attributes:
        stem_stride: 4 is the ImageNet stem (7 × 7, stride 2, then pooling); 1 is a 3 × 3
            convolution without pooling, for images of 64 pixels and less.
    """

    stem_stride: Literal[1, 4] = 4

    def network(self, channels: int, classes: int) -> nn.Module:
        from torch import nn
        from torchvision.models import resnet18

        module: nn.Module = resnet18(num_classes=classes)
        kernel, stride = (7, 2) if self.stem_stride == 4 else (3, 1)
        module.conv1 = nn.Conv2d(channels, 64, kernel, stride, kernel // 2, bias=False)
        if self.stem_stride == 1:
            module.maxpool = nn.Identity()
        return module
