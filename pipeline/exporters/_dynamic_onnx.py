"""Layers of int8 weights and dynamic activations in ONNX's own operators."""

from __future__ import annotations

import torch
from torch import nn
from torch.onnx import ops

from pipeline._dynamic_linear import DynamicLinear, with_layers


def spelled_out(module: nn.Module) -> nn.Module:
    """A copy that can be exported to ONNX, and does not answer before."""
    return with_layers(module, _Spelled)


class _Spelled(nn.Module):
    """DynamicQuantizeLinear, MatMulInteger and a scale: what ONNX Runtime makes one DynamicQuantizeMatMul of."""

    weight_FK: torch.Tensor
    scale_K: torch.Tensor
    bias_K: torch.Tensor

    def __init__(self, layer: DynamicLinear) -> None:
        super().__init__()
        self.register_buffer("weight_FK", layer.weight_KF.t().contiguous())
        self.register_buffer("scale_K", layer.scale_K)
        self.register_buffer("bias_K", layer.bias_K)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        types = (torch.uint8, torch.float32, torch.uint8)
        integers, scale, zero_point = ops.symbolic_multi_out(
            "DynamicQuantizeLinear", (x,), dtypes=types, shapes=(x.shape, (), ())
        )
        shape = (*x.shape[:-1], self.weight_FK.shape[1])
        sums = ops.symbolic("MatMulInteger", (integers, self.weight_FK, zero_point), dtype=torch.int32, shape=shape)
        return sums.float() * (scale * self.scale_K) + self.bias_K
