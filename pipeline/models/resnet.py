"""Residual networks (He et al., 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pipeline.models.architecture import Architecture, Shape, Width, scaled
from pipeline.models.pretrained import IMAGENET, FromTorchvision, Published

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pipeline.models.pretrained import State


class _ImageNetResNet(Architecture):
    """A residual network of four groups of blocks, with the names of torchvision's layers.

    Attributes:
        stem_stride: 4 is the ImageNet stem (7 × 7, stride 2, then pooling); 1 is a 3 × 3
            convolution without pooling, for images of 64 pixels and less.
        width: multiplies every layer's channels.
    """

    normalization: ClassVar = IMAGENET
    published_form: ClassVar[str] = "width 1 and stem_stride 4"
    torchvision: ClassVar[str]
    stem_stride: Literal[1, 4] = 4
    width: Width = 1.0

    def published(self) -> Published | None:
        return FromTorchvision(self.torchvision) if self.width == 1 and self.stem_stride == 4 else None

    def _network(self, block: Any, counts: tuple[int, ...], shape_CHW: Shape, classes: int) -> nn.Module:
        from torch import nn

        widths = [scaled(channels, self.width) for channels in (64, 128, 256, 512)]
        kernel, stride = (7, 2) if self.stem_stride == 4 else (3, 1)
        stem = nn.Conv2d(shape_CHW[0], widths[0], kernel, stride, kernel // 2, bias=False)
        pooling = nn.MaxPool2d(3, 2, 1) if self.stem_stride == 4 else None
        return _residual([stem, pooling], block, list(zip(widths, counts, strict=True)), classes)


class ResNet18(_ImageNetResNet):
    """ResNet-18, 11 million parameters: the full-size model and teacher."""

    torchvision: ClassVar[str] = "ResNet18_Weights.IMAGENET1K_V1"

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torchvision.models.resnet import BasicBlock

        return self._network(BasicBlock, (2, 2, 2, 2), shape_CHW, classes)


class ResNet50(_ImageNetResNet):
    """ResNet-50, 25 million parameters: the usual yardstick, and a stronger teacher."""

    torchvision: ClassVar[str] = "ResNet50_Weights.IMAGENET1K_V2"

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torchvision.models.resnet import Bottleneck

        return self._network(Bottleneck, (3, 4, 6, 3), shape_CHW, classes)


class CifarResNet(Architecture):
    """ResNet-20 to ResNet-110 for images of 32 pixels: three groups of blocks, 16 to 64 channels.

    Section 4.2 of the paper, with a 1 × 1 convolution where the channels of a shortcut change. The
    paper's shortcut without parameters, every other pixel between channels of zeros, is one such
    convolution: files with it (layer names of torchvision, but ``linear`` for ``fc``) fit too.

    Attributes:
        depth: layers with weights.
        width: multiplies every layer's channels.
    """

    normalization: ClassVar = IMAGENET
    depth: Literal[20, 32, 44, 56, 110] = 20
    width: Width = 1.0

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torch import nn
        from torchvision.models.resnet import BasicBlock

        groups = [(scaled(channels, self.width), (self.depth - 2) // 6) for channels in (16, 32, 64)]
        stem = nn.Conv2d(shape_CHW[0], groups[0][0], 3, padding=1, bias=False)
        return _residual([stem, None], BasicBlock, groups, classes)

    def adapted(self, state: State, own: State) -> State:
        if "linear.weight" not in state:
            return state
        shortcuts = {name: tensor for name, tensor in own.items() if ".downsample." in name and name not in state}
        renamed = {name.replace("linear.", "fc."): tensor for name, tensor in state.items()}
        return {**renamed, **{name: _identity(name, tensor) for name, tensor in shortcuts.items()}}


def _identity(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """One tensor of a shortcut that only moves channels: into the middle of more channels."""
    import torch

    if tensor.ndim == 4:
        outputs, inputs = tensor.shape[:2]
        moved = torch.zeros_like(tensor)
        moved[torch.arange(inputs) + (outputs - inputs) // 2, torch.arange(inputs)] = 1
        return moved
    if name.endswith("running_var"):
        return torch.full_like(tensor, 1 - 1e-5)  # BatchNorm adds its epsilon
    return torch.full_like(tensor, float(name.endswith(".weight")))


def _residual(start: list[nn.Module | None], block: Any, groups: list[tuple[int, int]], classes: int) -> nn.Module:
    """Stem, groups of residual blocks, and a linear layer, with the names of torchvision's layers.

    Args:
        start: the stem's convolution and its pooling, if any.
        block: torchvision's class of residual blocks.
        groups: channels and blocks of each group; all but the first halve the image.
    """
    from torch import nn

    from pipeline.models._layers import in_a_row, initialized

    stem, pooling = start
    inputs = groups[0][0]
    layers = {"conv1": stem, "bn1": nn.BatchNorm2d(inputs), "relu": nn.ReLU(), "maxpool": pooling}
    for position, (channels, count) in enumerate(groups, start=1):
        layers[f"layer{position}"] = _group(block, inputs, channels, count, 1 if position == 1 else 2)
        inputs = channels * block.expansion
    layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(inputs, classes)}
    return initialized(in_a_row({name: layer for name, layer in layers.items() if layer is not None}))


def _group(block: Any, inputs: int, channels: int, count: int, stride: int) -> nn.Module:
    """Residual blocks in a row; a convolution fits the first one's shortcut where its shape changes."""
    from torch import nn

    outputs = channels * block.expansion
    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    rest = (block(outputs, channels) for _ in range(count - 1))
    return nn.Sequential(block(inputs, channels, stride, shortcut), *rest)
