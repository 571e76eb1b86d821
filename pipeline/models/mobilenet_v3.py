"""MobileNetV3 (Howard et al., 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline.models.architecture import Architecture, Shape, Width
from pipeline.models.pretrained import IMAGENET, FromTorchvision, Published

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = {"small": "MobileNet_V3_Small_Weights.IMAGENET1K_V1", "large": "MobileNet_V3_Large_Weights.IMAGENET1K_V2"}


class MobileNetV3(Architecture):
    """MobileNetV3: hard-swish and squeeze-excite, the fewest operations at its accuracy.

    Attributes:
        size: "small" or "large", as published.
        width: multiplies every layer's channels.
        stem_stride: 2 as published, 1 for images of 64 pixels and less.
        minimal: without squeeze-excite and hard-swish and with 3 × 3 kernels only, which quantizes
            better and suits accelerators (the authors' "minimalistic" models).
    """

    normalization: ClassVar = IMAGENET
    published_form: ClassVar[str] = "width 1, stem_stride 2 and minimal false"
    size: Literal["small", "large"] = "small"
    width: Width = 1.0
    stem_stride: Literal[1, 2] = 2
    minimal: bool = False

    def published(self) -> Published | None:
        form = (self.width, self.stem_stride, self.minimal)
        return FromTorchvision(WEIGHTS[self.size]) if form == (1, 2, False) else None

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torch import nn
        from torchvision.models import mobilenet_v3_large, mobilenet_v3_small

        family = mobilenet_v3_small if self.size == "small" else mobilenet_v3_large
        block = _minimal_block if self.minimal else None
        module: Any = family(num_classes=classes, width_mult=self.width, block=block)
        stem = module.features[0][0]
        module.features[0][0] = nn.Conv2d(shape_CHW[0], stem.out_channels, 3, self.stem_stride, 1, bias=False)
        if self.minimal:
            _rectify(module)
        network: nn.Module = module
        return network


def _minimal_block(published: Any, norm_layer: Any) -> nn.Module:
    """A block of the published table in its minimal form."""
    from torchvision.models.mobilenetv3 import InvertedResidual

    published.kernel, published.use_se, published.use_hs = 3, False, False
    block: nn.Module = InvertedResidual(published, norm_layer)
    return block


def _rectify(module: nn.Module) -> None:
    """Replace every hard-swish by ReLU, in place."""
    from torch import nn

    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.Hardswish):
                setattr(parent, name, nn.ReLU())
