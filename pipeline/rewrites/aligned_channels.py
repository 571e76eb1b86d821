"""Channels of depthwise int8 convolutions -> a multiple of sixteen of them, the added ones zero.

Matches every set of tensors that must have equal channels (what convolutions make, and elementwise
operators, pools and depthwise convolutions pass on) which holds a depthwise convolution and does not
leave the graph. Those that make it get output channels with weights and bias of zero, those that read it
get zeros for them: no sum changes, so the answers are the same, bit for bit. ONNX Runtime's depthwise
kernel takes sixteen channels at a time and the rest one by one: 88 channels take almost twice as long as 96.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.rewrites._match import DEQUANTIZE, QUANTIZE, add_constant, constant, grid, groups, maker

if TYPE_CHECKING:
    import onnx_ir
    from numpy.typing import NDArray

MULTIPLE = 16
RANK = 4
PASSING = {"Relu", "Clip", "HardSigmoid", "HardSwish", "GlobalAveragePool", "AveragePool", "MaxPool"}
PAIRWISE = {"Add", "Mul"}


def aligned_channels(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    sets = ChannelSets(model.graph)
    for values in sets.movable():
        channels = _channels(values[0])
        missing = -channels % MULTIPLE
        if missing and any(_depthwise(node) for value in values for node, _ in value.uses()):
            _widen(model.graph, values, channels + missing)
    return model


class ChannelSets:
    """Values of a graph that must have equal channels, found by joining what each node ties together."""

    def __init__(self, graph: onnx_ir.Graph) -> None:
        self._parent: dict[onnx_ir.Value, onnx_ir.Value] = {}
        self._fixed: set[onnx_ir.Value] = set()
        for value in [*graph.inputs, *graph.outputs]:
            self._fixed.add(value)
        for node in graph:
            self._tie(node)

    def movable(self) -> Iterator[list[onnx_ir.Value]]:
        """The sets in which no value has to stay as it is."""
        sets: dict[onnx_ir.Value, list[onnx_ir.Value]] = {}
        for value in self._parent:
            sets.setdefault(self._root(value), []).append(value)
        fixed = {self._root(value) for value in self._fixed}
        yield from (values for root, values in sets.items() if root not in fixed)

    def _root(self, value: onnx_ir.Value) -> onnx_ir.Value:
        while self._parent.setdefault(value, value) is not value:
            value = self._parent[value]
        return value

    def _tie(self, node: onnx_ir.Node) -> None:
        if len(node.outputs) != 1:  # such as a split: its parts' channels are not its own to widen
            self._fixed.update([*node.outputs, *(value for value in node.inputs if value is not None)])
            return
        [output], tied = node.outputs, _tied(node)
        for value in tied:
            self._parent[self._root(value)] = self._root(output)
        if (tied or _dense(node)) and _channels(output):
            self._root(output)
        else:
            self._fixed.update([*node.outputs, *(value for value in node.inputs if value is not None)])


def _tied(node: onnx_ir.Node) -> list[onnx_ir.Value]:
    """Inputs whose channels are those of the node's output; none where that is not known."""
    inputs = [value for value in node.inputs if value is not None]
    if node.op_type in (QUANTIZE, DEQUANTIZE) and grid(node) is not None and not inputs[0].is_initializer():
        return inputs[:1]
    if node.op_type in PASSING or _depthwise(node):
        return inputs[:1]
    if node.op_type in PAIRWISE:
        images = [value for value in inputs if not _scalar(value)]
        same = len({_channels(value) for value in images}) == 1 and _channels(images[0]) > 0
        return images if same else []
    return []


def _scalar(value: onnx_ir.Value) -> bool:
    """One element, constant, dequantized or not."""
    dequantize = maker(value, DEQUANTIZE)
    array = constant(dequantize.inputs[0] if dequantize is not None else value)
    return array is not None and array.size == 1


def _channels(value: onnx_ir.Value) -> int:
    """0 where the value is no image with a known number of channels."""
    known = value.shape is not None and len(value.shape) == RANK and isinstance(value.shape[1], int)
    return int(value.shape[1]) if known else 0  # type: ignore[index,arg-type]


def _weight(node: onnx_ir.Node) -> NDArray[Any] | None:
    """Integers of a convolution's weight; None for other nodes."""
    dequantize = maker(node.inputs[1], DEQUANTIZE) if node.op_type == "Conv" else None
    return None if dequantize is None else constant(dequantize.inputs[0])


def _dense(node: onnx_ir.Node) -> bool:
    return _weight(node) is not None and groups(node) == 1


def _depthwise(node: onnx_ir.Node) -> bool:
    weight = _weight(node)
    return weight is not None and weight.shape[1] == 1 and 1 < groups(node) == len(weight)


def _widen(graph: onnx_ir.Graph, values: list[onnx_ir.Value], channels: int) -> None:
    """Give all of a set that many channels."""
    import onnx_ir

    makers_ = {value.producer() for value in values}
    readers = {node for value in values for node, index in value.uses() if index == 0}
    for node in makers_ | readers:
        if node is not None and _weight(node) is not None:
            _pad(graph, node, channels if node in makers_ else 0, channels if node in readers else 0)
    for value in values:
        assert value.shape is not None
        value.shape = onnx_ir.Shape([value.shape[0], channels, *value.shape[2:]])


def _pad(graph: onnx_ir.Graph, node: onnx_ir.Node, outputs: int, inputs: int) -> None:
    """Add zeros to a convolution's weight and bias, up to so many output and input channels; 0 leaves them."""
    import onnx_ir

    depthwise = _depthwise(node)
    node.replace_input_with(1, _padded(graph, node, 1, (outputs, 0 if depthwise else inputs)))
    if outputs and len(node.inputs) > 2 and node.inputs[2] is not None:
        node.replace_input_with(2, _padded(graph, node, 2, (outputs,)))
    if depthwise and outputs:
        node.attributes.add(onnx_ir.AttrInt64("group", outputs))


def _padded(graph: onnx_ir.Graph, node: onnx_ir.Node, index: int, sizes: tuple[int, ...]) -> onnx_ir.Value:
    """A node's constant input, dequantized or not, its first axes filled with zeros up to ``sizes``."""
    import onnx_ir

    value, name = node.inputs[index], f"{node.outputs[0].name}_padded_{index}"
    dequantize = maker(value, DEQUANTIZE)
    if dequantize is None:
        return _filled(graph, value, name, sizes)
    integers, scale, *zero_point = dequantize.inputs
    arguments = [
        _filled(graph, integers, f"{name}_integers", sizes),
        # Any scale would do, but the bias's must stay that of the weight times the input's.
        _filled(graph, scale, f"{name}_scale", sizes[:1], mode="edge"),
        *(_filled(graph, zero, f"{name}_zero", sizes[:1]) for zero in zero_point),
    ]
    padded = onnx_ir.node(DEQUANTIZE, arguments, attributes=dequantize.attributes)
    graph.insert_before(node, padded)
    return padded.outputs[0]


def _filled(
    graph: onnx_ir.Graph,
    value: onnx_ir.Value | None,
    name: str,
    sizes: tuple[int, ...],
    mode: Literal["constant", "edge"] = "constant",
) -> onnx_ir.Value:
    """A constant with its first axes filled up, with zeros unless told; one element for all channels stays so."""
    array = constant(value)
    assert value is not None
    assert array is not None
    if array.size == 1:
        return value
    margins = [(0, max(size - have, 0)) for size, have in zip(sizes, array.shape, strict=False)]
    margins += [(0, 0)] * (array.ndim - len(margins))
    return add_constant(graph, name, np.pad(array, margins, mode))
