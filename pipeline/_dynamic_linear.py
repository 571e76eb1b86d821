"""A linear layer of int8 weights that quantizes its input when it comes, to each image's own range."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

LARGEST = 255


class DynamicLinear(nn.Module):
    """What ONNX Runtime's kernel computes, which takes one image a call (DynamicQuantizeLinear, MatMulInteger).

    Attributes:
        weight_KF: int8. scale_K: of the weights, for each output. bias_K: float32; zeros where there was none.
    """

    weight_KF: torch.Tensor
    scale_K: torch.Tensor
    bias_K: torch.Tensor

    def __init__(self, weight_KF: torch.Tensor, scale_K: torch.Tensor, bias_K: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight_KF", weight_KF)
        self.register_buffer("scale_K", scale_K)
        self.register_buffer("bias_K", bias_K)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` (N, …, F) -> (N, …, K)."""
        integers, scale = quantized_by_image(x)
        sums = nn.functional.linear(integers, self.weight_KF.float())
        return sums * (scale * self.scale_K) + self.bias_K


def quantized_by_image(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Whole numbers (N, …) less their zero point, and the step (N, 1, …) that they count.

    Uint8 over the image's range with zero in it; ties go to the even neighbour (ONNX, DynamicQuantizeLinear-11).
    """
    others = tuple(range(1, x.ndim))
    low, high = x.amin(others, keepdim=True).clamp(max=0), x.amax(others, keepdim=True).clamp(min=0)
    scale = torch.where(high == low, 1.0, (high - low) / LARGEST)
    zero_point = torch.round(-low / scale).clamp(0, LARGEST)
    integers = (torch.round(x / scale) + zero_point).clamp(0, LARGEST)
    return integers - zero_point, scale


def is_dynamic(module: nn.Module) -> bool:
    """It has such a layer."""
    return any(isinstance(layer, DynamicLinear) for layer in module.modules())


def with_layers(module: nn.Module, make: Callable[[DynamicLinear], nn.Module]) -> nn.Module:
    """A copy in which ``make`` wrote each of these layers anew."""
    written = copy.deepcopy(module)
    for name, layer in list(written.named_modules()):
        if isinstance(layer, DynamicLinear):
            written.set_submodule(name, make(layer))
    return written


def numbered(count: int) -> list[str]:
    """What so many of these layers are called, in the order in which they run."""
    return [f"dynamic_linear_{index}" if index else "dynamic_linear" for index in range(count)]
