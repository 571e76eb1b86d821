"""What stays float in the graph that ONNX Runtime makes of an int8 file, and why. Nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.rewrites._match import DEQUANTIZE, QUANTIZE, constant, grid, maker

if TYPE_CHECKING:
    import onnx_ir

# Read and give floats, and compute with integers between.
DYNAMIC = {"DynamicQuantizeMatMul", "DynamicQuantizeLinear", "MatMulIntegerToFloat"}
INTEGER = {"NhwcMaxPool", "MatMulInteger", "ConvInteger", "QAttention", *DYNAMIC}
# Move numbers of any kind.
MOVING = {
    "Transpose",
    "Reshape",
    "Concat",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "MaxPool",
    "Split",
    "Slice",
    "Gather",
    "Expand",
}
# Only bring an image into the blocks of channels that float convolutions like.
LAYOUT = {"ReorderInput", "ReorderOutput"}
WEIGHTED = {"Conv", "MatMul", "Gemm"}
# Become integer kernels between DequantizeLinear and QuantizeLinear.
FUSING = {"Conv", "MatMul", "Gemm", "Add", "Mul", "Sigmoid", "LeakyRelu", "AveragePool", "GlobalAveragePool", "Softmax"}


class Island(NamedTuple):
    """Float operators in a row, between integer ones or at an end of the graph.

    Attributes:
        names: of its operators, and of those that quantize and dequantize around it.
        operators: their kinds, without those.
    """

    names: tuple[str, ...]
    operators: tuple[str, ...]
    reason: str


def islands(optimized: Path) -> tuple[Island, ...]:
    """Of the graph as the runtime saved it; quantizing the image and dequantizing the logits is none."""
    import onnx_ir

    graph = onnx_ir.load(optimized).graph
    floats = [node for node in graph if not is_integer(node)]
    found = []
    for group in _connected(floats):
        work = [node for node in group if node.op_type not in {QUANTIZE, DEQUANTIZE} | MOVING]
        if work or not _at_an_end(group, graph):
            names, kinds = (tuple(str(value) for value in values) for values in _told(group, work))
            found.append(Island(names, kinds, _reason(work)))
    return tuple(found)


def is_integer(node: onnx_ir.Node) -> bool:
    """It computes with integers, or moves them."""
    name = node.op_type
    if name.startswith(("QLinear", "QGemm")) or name in INTEGER:
        return True
    if name not in MOVING:
        return False
    source = node.inputs[0].producer() if node.inputs[0] is not None else None
    return source is not None and (source.op_type == QUANTIZE or is_integer(source))


def _connected(nodes: list[onnx_ir.Node]) -> Iterator[list[onnx_ir.Node]]:
    """Nodes that read each other's values, together, in the graph's order."""
    left = dict.fromkeys(nodes)
    while left:
        group, waiting = [], [next(iter(left))]
        while waiting:
            node = waiting.pop()
            if node in left:
                del left[node]
                group.append(node)
                makers = (value.producer() for value in node.inputs if value is not None)
                waiting += [source for source in makers if source is not None]
                waiting += [user for value in node.outputs for user in value.consumers()]
        yield sorted(group, key=nodes.index)


def _at_an_end(group: list[onnx_ir.Node], graph: onnx_ir.Graph) -> bool:
    reads = {value for node in group for value in node.inputs}
    gives = {value for node in group for value in node.outputs}
    return bool(reads & set(graph.inputs)) or bool(gives & set(graph.outputs))


def _told(group: list[onnx_ir.Node], work: list[onnx_ir.Node]) -> tuple[list[str | None], list[str]]:
    return [node.name for node in group], [node.op_type for node in work]


def _reason(work: list[onnx_ir.Node]) -> str:
    """Why the first operator of an island did not become an integer kernel."""
    if not work:
        return "it is quantized again with another scale or zero point"
    node = next((one for one in work if one.op_type not in LAYOUT), work[0])
    makers = [value.producer() for value in node.inputs if value is not None]
    if any(source is not None and source.op_type in DYNAMIC for source in makers):
        return "dynamic int8 leaves what stands between its layers float"
    if node.op_type not in FUSING:
        return f"ONNX Runtime has no integer kernel for {node.op_type}"
    reads = [_dequantized(value) for value in node.inputs if value is not None and constant(value) is None]
    if not all(reads):
        return "an input is not quantized"
    if node.op_type in WEIGHTED and constant(node.inputs[1]) is not None:
        return "its weight is float"
    weight = reads[1] if len(reads) > 1 else None
    if weight is not None and constant(weight.inputs[0]) is not None and _per_input(weight):
        return "its weight has a scale for each input, not for each output"
    if any(user.op_type != QUANTIZE for user in node.outputs[0].consumers()):
        return "what it gives is not quantized everywhere it is read"
    return "its scales, zero points or types are not those that the integer kernel takes"


def _dequantized(value: onnx_ir.Value) -> onnx_ir.Node | None:
    """What dequantized a value, behind a change of layout."""
    source = value.producer()
    if source is not None and source.op_type in LAYOUT and source.inputs[0] is not None:
        return _dequantized(source.inputs[0])
    return maker(value, DEQUANTIZE)


def _per_input(weight: onnx_ir.Node) -> bool:
    axis = weight.attributes.get("axis")
    return grid(weight) is None and axis is not None and axis.as_int() == 1
