"""VGG (Simonyan and Zisserman, 2014) with BatchNorm."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.models.architecture import Architecture, Shape, Width, scaled
from pipeline.models.pretrained import IMAGENET, FromTorchvision, Published

if TYPE_CHECKING:
    from torch import nn

# Convolutions before each of the five poolings, by depth, and their channels.
BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
CHANNELS = (64, 128, 256, 512, 512)


class VGG(Architecture):
    """VGG with BatchNorm: 3 × 3 convolutions and pooling, big, and easy to prune.

    Attributes:
        depth: layers with weights in the ImageNet form.
        width: multiplies every layer's channels.
        small: one linear layer after global pooling instead of three, for images of 64 pixels and less.
    """

    normalization: ClassVar = IMAGENET
    published_form: ClassVar[str] = "width 1 and small false"
    depth: Literal[11, 13, 16, 19] = 16
    width: Width = 1.0
    small: bool = False

    def published(self) -> Published | None:
        fits = self.width == 1 and not self.small
        return FromTorchvision(f"VGG{self.depth}_BN_Weights.IMAGENET1K_V1") if fits else None

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torch import nn

        from pipeline.models._layers import in_a_row, initialized

        last = scaled(CHANNELS[-1], self.width)
        head = nn.Linear(last, classes) if self.small else nn.Sequential(*self._head(last * 49, classes))
        layers = {
            "features": nn.Sequential(*self._features(shape_CHW)),
            "avgpool": nn.AdaptiveAvgPool2d(1 if self.small else 7),
            "flatten": nn.Flatten(),
            "classifier": head,
        }
        return initialized(in_a_row(layers))

    def _head(self, features: int, classes: int) -> list[nn.Module]:
        """Three linear layers."""
        from torch import nn

        hidden = scaled(4096, self.width)
        layers: list[nn.Module] = []
        for inputs in (features, hidden):
            layers += [nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(0.5)]
        return [*layers, nn.Linear(hidden, classes)]

    def _features(self, shape_CHW: Shape) -> list[nn.Module]:
        """Convolutions and poolings; an image that has come down to one pixel is not pooled."""
        from torch import nn

        inputs, edge = shape_CHW[0], min(shape_CHW[1:])
        layers: list[nn.Module] = []
        for count, channels in zip(BLOCKS[self.depth], CHANNELS, strict=True):
            outputs = scaled(channels, self.width)
            for _ in range(count):
                layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
            if edge > 1:
                layers.append(nn.MaxPool2d(2))
            edge //= 2
        return layers
