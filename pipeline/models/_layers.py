"""Layers and their padding and initialization, shared by families that are written out here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from math import prod

import torch
from torch import nn


class Residual(nn.Sequential):
    """Layers in a row, to whose output their input is added where ``added`` (He et al., 2015)."""

    def __init__(self, layers: Mapping[str, nn.Module], added: bool) -> None:
        super().__init__(OrderedDict(layers))
        self.added = added

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        y_NCHW: torch.Tensor = super().forward(x_NCHW)  # type: ignore[no-untyped-call]
        return x_NCHW + y_NCHW if self.added else y_NCHW


def in_a_row(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    """Named layers, one after the other."""
    return nn.Sequential(OrderedDict(layers))


def convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution before a BatchNorm, padded symmetrically."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


def initialized(module: nn.Module) -> nn.Module:
    """Draw every convolution's weights as for rectifiers, by fan-out (He et al., 2015), in place."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.out_channels * prod(layer.kernel_size) / layer.groups
            nn.init.normal_(layer.weight, 0.0, (2 / fan_out) ** 0.5)
    return module


def same_padding(edge: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an edge of pixels in TensorFlow's SAME padding, which prefers the end.

    >>> same_padding(224, 3, 2), same_padding(224, 5, 2), same_padding(7, 3, 2), same_padding(8, 3, 1)
    ((0, 1), (1, 2), (1, 1), (1, 1))
    """
    total = max((-(-edge // stride) - 1) * stride + kernel - edge, 0)
    return total // 2, total - total // 2


def pad_like_tensorflow(module: nn.Module, height: int, width: int) -> None:
    """Give strided convolutions SAME padding for that input, in place; names of parameters stay.

    For networks whose layers stand in order of execution, each strided convolution in an
    ``nn.Sequential``. An asymmetric padding becomes a layer ``pad`` before the convolution.
    """
    for row in [layer for layer in module.modules() if isinstance(layer, nn.Sequential)]:
        for name, layer in list(row.named_children()):
            if isinstance(layer, nn.Conv2d) and layer.stride[0] > 1:
                kernel, stride = layer.kernel_size[0], layer.stride[0]
                across, down = (same_padding(edge, kernel, stride) for edge in (width, height))
                if (across, down) != ((kernel // 2,) * 2,) * 2:
                    layer.padding = (0, 0)
                    _insert(row, name, nn.ZeroPad2d((*across, *down)))
                height, width = -(-height // stride), -(-width // stride)


def _insert(row: nn.Sequential, before: str, pad: nn.Module) -> None:
    """Put ``pad`` into the row; ``nn.Sequential.insert`` would give the others new names."""
    layers = dict(row.named_children())
    for name in layers:
        delattr(row, name)
    for name, layer in layers.items():
        if name == before:
            row.add_module("pad", pad)
        row.add_module(name, layer)
