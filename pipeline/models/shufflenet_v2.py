"""ShuffleNetV2 (Ma et al., 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline.models.architecture import Architecture, Shape, Width, scaled
from pipeline.models.pretrained import IMAGENET, FromTorchvision, Published

if TYPE_CHECKING:
    from torch import nn

# Table 5 of the paper: channels of the stem, the three stages and the last convolution, by width.
PUBLISHED = {
    0.5: [24, 48, 96, 192, 1024],
    1.0: [24, 116, 232, 464, 1024],
    1.5: [24, 176, 352, 704, 1024],
    2.0: [24, 244, 488, 976, 2048],
}
BLOCKS = [4, 8, 4]


class ShuffleNetV2(Architecture):
    """ShuffleNetV2: halves of the channels take turns, designed by what memory traffic costs.

    Attributes:
        width: 0.5, 1, 1.5 and 2 are the published forms; others multiply the channels of width 1.
        stem_stride: 4 as published, with pooling; 1 for images of 64 pixels and less, without.
    """

    normalization: ClassVar = IMAGENET
    published_form: ClassVar[str] = "width 0.5, 1, 1.5 or 2 and stem_stride 4"
    width: Width = 1.0
    stem_stride: Literal[1, 4] = 4

    def published(self) -> Published | None:
        name = f"ShuffleNet_V2_X{str(self.width).replace('.', '_')}_Weights.IMAGENET1K_V1"
        return FromTorchvision(name) if self.width in PUBLISHED and self.stem_stride == 4 else None

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torch import nn
        from torchvision.models import shufflenetv2

        channels = PUBLISHED.get(self.width) or [scaled(count, self.width) for count in PUBLISHED[1.0]]
        stride = 2 if self.stem_stride == 4 else 1
        module: Any = shufflenetv2.ShuffleNetV2(BLOCKS, channels, num_classes=classes)
        module.conv1[0] = nn.Conv2d(shape_CHW[0], channels[0], 3, stride, 1, bias=False)
        if self.stem_stride == 1:
            module.maxpool = nn.Identity()
        network: nn.Module = module
        return network
