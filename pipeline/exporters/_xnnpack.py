"""Networks in the shapes that XNNPACK's kernels are recognized by; the numbers stay what they are.

XNNPACK computes with signed activations. Ours are unsigned, so every integer and every zero point moves down by 128,
which stand for the same number. Its integer layers also end in integers, where ours give float logits: the last
layer's input is quantized once more, to its own range, for the kernel of int8 weights that gives floats. A hard
sigmoid is a sum, a clamp and a quotient.
"""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import fx, nn
from torchao.quantization.pt2e import quantize_pt2e  # noqa: F401 (registers quantized_decomposed)

from pipeline._dynamic_linear import DynamicLinear, is_dynamic, with_layers

aten: Any = torch.ops.aten
decomposed: Any = torch.ops.quantized_decomposed

PER_TENSOR = (decomposed.quantize_per_tensor.default, decomposed.dequantize_per_tensor.default)
PER_CHANNEL = decomposed.dequantize_per_channel.default
LOWEST, HIGHEST, UNSIGNED = -128, 127, (0, 255, torch.uint8)
SMALLEST_STEP = 2.0**-16


def signed(module: nn.Module) -> nn.Module:
    """A copy of an int8 module, for one image a call, that XNNPACK has integer kernels for."""
    if is_dynamic(module):
        return with_layers(module, _Dynamic)
    assert isinstance(module, fx.GraphModule)
    made = copy.deepcopy(module)
    for node in list(made.graph.nodes):
        if node.target in PER_TENSOR:
            lower(node)
        elif node.target is aten.linear.default and _gives_floats(node):
            _quantize_again(node)
    made.recompile()
    return made


def spell_out_gates(module: fx.GraphModule) -> fx.GraphModule:
    """Write every hard sigmoid, in place, as what XNNPACK computes, with constants that are its own."""
    gates = module.graph.find_nodes(op="call_function", target=aten.hardsigmoid.default)
    for name, value in {"gate_three": 3.0, "gate_six": 6.0}.items() if gates else ():
        module.register_buffer(name, torch.tensor([value]))
    for node in gates:
        with module.graph.inserting_before(node):
            three, six = (module.graph.get_attr(name) for name in ("gate_three", "gate_six"))
            moved = module.graph.call_function(aten.add.Tensor, (node.args[0], three))
            clamped = module.graph.call_function(aten.hardtanh.default, (moved, 0.0, 6.0))
            quotient = module.graph.call_function(aten.div.Tensor, (clamped, six))
        node.replace_all_uses_with(quotient)
        module.graph.erase_node(node)
    module.recompile()
    return module


def lower(node: fx.Node) -> None:
    """Signed integers instead of unsigned ones."""
    value, scale, zero_point, *kind = node.args
    assert tuple(kind) == UNSIGNED
    node.args = (value, scale, zero_point + LOWEST, LOWEST, HIGHEST, torch.int8)  # type: ignore[operator]


def _gives_floats(node: fx.Node) -> bool:
    """An int8 layer whose result is not quantized: nothing behind it, or behind its clamp, makes it integers."""
    weight: Any = node.args[1]
    readers = list(node.users)
    return weight.target is PER_CHANNEL and not any(user.target in PER_TENSOR for user in readers)


def _quantize_again(node: fx.Node) -> None:
    """Before a layer: its input to signed integers over the range it has in this image, and back."""
    graph, value = node.graph, node.args[0]
    with graph.inserting_before(node):
        found = graph.call_function(decomposed.choose_qparams.tensor, _range_arguments(value))
        step, zero_point = (graph.call_function(operator.getitem, (found, index)) for index in range(2))
        kind = (step, zero_point, LOWEST, HIGHEST, torch.int8)
        integers = graph.call_function(decomposed.quantize_per_tensor.tensor, (value, *kind))
        floats = graph.call_function(decomposed.dequantize_per_tensor.tensor, (integers, *kind))
    node.replace_input_with(value, floats)  # type: ignore[arg-type]


def _range_arguments(value: Any) -> tuple[Any, ...]:
    return value, LOWEST, HIGHEST, SMALLEST_STEP, torch.int8


class _Dynamic(nn.Module):
    """A dynamic layer as the pattern of operators that becomes one kernel."""

    weight_KF: torch.Tensor
    scale_K: torch.Tensor
    zero_point_K: torch.Tensor
    bias_K: torch.Tensor

    def __init__(self, layer: DynamicLinear) -> None:
        super().__init__()
        self.register_buffer("weight_KF", layer.weight_KF)
        self.register_buffer("scale_K", layer.scale_K)
        self.register_buffer("zero_point_K", torch.zeros(len(layer.scale_K), dtype=torch.int64))
        self.register_buffer("bias_K", layer.bias_K)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        step, zero_point = decomposed.choose_qparams.tensor(*_range_arguments(x))
        kind = (step, zero_point, LOWEST, HIGHEST, torch.int8)
        floats = decomposed.dequantize_per_tensor.tensor(decomposed.quantize_per_tensor.tensor(x, *kind), *kind)
        weight_KF = PER_CHANNEL(self.weight_KF, self.scale_K, self.zero_point_K, 0, -HIGHEST, HIGHEST, torch.int8)
        return nn.functional.linear(floats, weight_KF, self.bias_K)
