"""Convolutional networks for digits (LeCun et al., 1998)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.models.architecture import Architecture, Shape, Width, scaled

if TYPE_CHECKING:
    from torch import nn


class LeNet(Architecture):
    """LeNet: two convolutions with pooling and one hidden layer, for digits of 28 pixels.

    The layout of LeNet-5 with today's parts: ReLU, max pooling, BatchNorm, dropout. At width 1
    it has 32 and 64 channels and 256 hidden features.

    Attributes:
        width: multiplies every layer's channels.
        norm: BatchNorm after each convolution.
    """

    width: Width = 1.0
    norm: bool = True

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torch import nn

        channels, height, across = shape_CHW
        first, second, hidden = (scaled(count, self.width) for count in (32, 64, 256))
        pixels = (height // 4) * (across // 4)
        return nn.Sequential(
            *self._block(channels, first),
            *self._block(first, second),
            nn.Flatten(),
            nn.Linear(second * pixels, hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(hidden, classes),
        )

    def _block(self, inputs: int, outputs: int) -> list[nn.Module]:
        """A 5 × 5 convolution that keeps the image's size, and pooling that halves it."""
        from torch import nn

        norm = [nn.BatchNorm2d(outputs)] if self.norm else []
        return [nn.Conv2d(inputs, outputs, 5, padding=2, bias=not self.norm), *norm, nn.ReLU(), nn.MaxPool2d(2)]
