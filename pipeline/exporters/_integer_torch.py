"""The reference int8 network on PyTorch's integer kernels. Legacy: torch.ao is deprecated.

The reference computes in float between ``quantize`` and ``dequantize``. Here every operator
whose inputs are dequantized and whose result is quantized becomes one integer kernel with
the same scales and zero points; what has no such kernel stays float between its own pair.
A clamp between an operator and its quantization needs no kernel: saturation at 0 and 255 is
that clamp, because the observed range lies within it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.ao.nn import quantized as kernels
from torchao.quantization.pt2e import quantize_pt2e  # noqa: F401 (registers quantized_decomposed)

from pipeline._dynamic_linear import DynamicLinear, with_layers

aten: Any = torch.ops.aten
decomposed: Any = torch.ops.quantized_decomposed

QUANTIZE = decomposed.quantize_per_tensor.default
DEQUANTIZE = decomposed.dequantize_per_tensor.default
WEIGHTED = (aten.conv2d.default, aten.linear.default)
CLAMPS = (aten.relu.default, aten.hardtanh.default, aten.relu6.default)
MOVING = (aten.flatten.using_ints, aten.max_pool2d.default, aten.pad.default)
PAIRWISE = {
    aten.add.Tensor: torch.ops.quantized.add,
    aten.mul.Tensor: torch.ops.quantized.mul,
    aten.hardswish.default: torch.ops.quantized.hardswish,
}


def integer(reference: nn.Module) -> fx.GraphModule:
    """A module of integer kernels that answers like ``reference`` (a converted PT2E graph)."""
    assert isinstance(reference, fx.GraphModule)
    return _Lowering(reference).module()


def dynamic(reference: nn.Module) -> nn.Module:
    """A copy whose linear layers run on the kernel that quantizes its input: one range for a whole call."""
    return with_layers(reference, _DynamicLinear)


class _DynamicLinear(nn.Module):
    """On PyTorch's dynamic kernel, with all eight bits."""

    def __init__(self, layer: DynamicLinear) -> None:
        super().__init__()
        outputs, inputs = layer.weight_KF.shape
        zero_points = torch.zeros(outputs, dtype=torch.long)
        weight = torch._make_per_channel_quantized_tensor(layer.weight_KF, layer.scale_K.double(), zero_points, 0)
        self.packed = kernels.Linear(inputs, outputs)
        self.packed.set_weight_bias(weight, layer.bias_K)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = torch.ops.quantized.linear_dynamic(x, self.packed._packed_params._packed_params, False)
        return found


class _Lowering:
    """Rebuilds the graph node by node; ``quantized`` holds the integer twin of a float value."""

    def __init__(self, reference: fx.GraphModule) -> None:
        self.reference = reference
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.float: dict[fx.Node, fx.Node] = {}
        self.quantized: dict[fx.Node, fx.Node] = {}

    def module(self) -> fx.GraphModule:
        for node in self.reference.graph.nodes:
            self._visit(node)
        module = fx.GraphModule(self.root, self.graph).eval()
        module.graph.eliminate_dead_code()
        module.recompile()
        return module

    def _visit(self, node: fx.Node) -> None:
        """Emit what must be there; everything else is emitted when something asks for it."""
        if node.op == "placeholder":
            self.float[node] = self.graph.node_copy(node)
        elif node.op == "output":
            [logits] = node.all_input_nodes
            self.graph.output(self._as_float(logits))
        elif node.target is QUANTIZE:
            self.quantized[node] = self._quantize(node)
        elif node.target is DEQUANTIZE:
            self.quantized[node] = self.quantized[arguments(node)[0]]

    def _as_float(self, node: fx.Node) -> fx.Node:
        """The float value of a node: dequantized, computed before, or computed now."""
        if node not in self.float:
            if node in self.quantized:
                self.float[node] = self.graph.call_method("dequantize", (self.quantized[node],))
            elif node.target in WEIGHTED:
                self.float[node] = self._float_layer(node)
            else:
                self.float[node] = self.graph.node_copy(node, self._as_float)
        return self.float[node]

    def _quantize(self, node: fx.Node) -> fx.Node:
        result, scale, zero_point, *_ = arguments(node)
        source = result
        while source.target in CLAMPS and arguments(source)[0] not in self.quantized:
            source = arguments(source)[0]
        kernel = self._kernel(source, scale, zero_point)
        if kernel is not None:
            return kernel
        value = self._as_float(result)
        return self.graph.call_function(torch.quantize_per_tensor, (value, scale, zero_point, torch.quint8))

    def _kernel(self, source: fx.Node, scale: float, zero_point: int) -> fx.Node | None:
        """One integer kernel for ``source`` and the quantization after it, if there is one."""
        inputs = [value for value in source.args if isinstance(value, fx.Node) and value in self.quantized]
        twins = [self.quantized[value] for value in inputs]
        if source.target in WEIGHTED:
            return self.graph.call_module(self._layer(source, scale, zero_point), (twins[0],))
        if source.target in PAIRWISE and len(twins) == len(source.all_input_nodes):
            return self.graph.call_function(PAIRWISE[source.target], (*twins, scale, zero_point))
        if source.target in MOVING and len(twins) == 1:
            mover: Any = source.target
            return self.graph.call_function(mover, (twins[0], *source.args[1:]))
        return None

    def _float_layer(self, node: fx.Node) -> fx.Node:
        """A layer whose result is not quantized (the logits): int8 values computed in float."""
        x, _, *rest = arguments(node)
        constants = {"weight": self._weight(node).dequantize(), "bias": self._bias(node)}
        for name, tensor in constants.items():
            self.root.register_buffer(f"{node.name}_{name}", tensor)
        weight, bias = (self.graph.get_attr(f"{node.name}_{name}") for name in constants)
        operator: Any = node.target
        return self.graph.call_function(operator, (self._as_float(x), weight, bias, *rest[1:]))

    def _layer(self, node: fx.Node, scale: float, zero_point: int) -> str:
        weight, bias = self._weight(node), self._bias(node)
        build: Callable[..., Any] = _convolution if node.target is aten.conv2d.default else _linear
        layer = build(node, weight)
        layer.set_weight_bias(weight, bias)
        layer.scale, layer.zero_point = scale, zero_point
        return self._add(node, layer)

    def _add(self, node: fx.Node, layer: nn.Module) -> str:
        self.root.add_module(node.name, layer)
        return node.name

    def _tensor(self, node: fx.Node) -> torch.Tensor:
        value: Any = self.reference
        for part in str(node.target).split("."):
            value = getattr(value, part)
        tensor: torch.Tensor = value.detach()
        return tensor

    def _bias(self, node: fx.Node) -> torch.Tensor | None:
        _, _, *rest = arguments(node)
        return self._tensor(rest[0]) if rest and rest[0] is not None else None

    def _weight(self, node: fx.Node) -> torch.Tensor:
        """The int8 weight of a layer as PyTorch's per-channel quantized tensor."""
        dequantize = arguments(node)[1]
        constant, scales, zero_points = (self._tensor(value) for value in arguments(dequantize)[:3])
        return torch._make_per_channel_quantized_tensor(constant, scales.double(), zero_points.long(), 0)


def arguments(node: fx.Node) -> tuple[Any, ...]:
    """A node's positional arguments, untyped as graphs are."""
    return node.args


def _convolution(node: fx.Node, weight: torch.Tensor) -> nn.Module:
    given = arguments(node)[3:]
    defaults: tuple[Any, ...] = ([1, 1], [0, 0], [1, 1], 1)
    stride, padding, dilation, groups = (*given, *defaults[len(given) :])
    channels, kernel = weight.shape[1] * groups, tuple(weight.shape[2:])
    layer: nn.Module = kernels.Conv2d(
        channels, weight.shape[0], kernel, tuple(stride), tuple(padding), tuple(dilation), groups
    )
    return layer


def _linear(_node: fx.Node, weight: torch.Tensor) -> nn.Module:
    layer: nn.Module = kernels.Linear(weight.shape[1], weight.shape[0])
    return layer
