"""A QDQ graph -> the float graph that it rounds: the same layers without any quantization.

Weights become the floats that their integers stand for. Where a tensor cannot be negative because its
zero point is 0, as after a ReLU6 that a quantizer took away, the clamp is put back; and what ``hard_sigmoid``
and ``four_channels`` made for integer kernels is undone, so that the twin is no slower than a float network.
What int8 gains in speed, and what rounding activations costs, can so be told from the int8 file alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import UsageError
from pipeline.rewrites._match import (
    DEQUANTIZE,
    PRODUCT,
    QUANTIZE,
    add_constant,
    constant,
    dequantized,
    grid,
    maker,
    only_user,
    repeated_grid,
)
from pipeline.rewrites.float_product import float_product

if TYPE_CHECKING:
    import onnx_ir
    from numpy.typing import NDArray

CLAMPED = {"Conv", "Gemm", "Add"}  # what a clamp stands behind


def float_twin(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite the whole graph in place, and give the model back."""
    import onnx_ir.passes.common

    graph = model.graph
    for kind, undo in UNDONE:
        for node in list(graph):
            if node.op_type == kind:
                undo(graph, node)
    graph.sort()  # the pass goes through it once, from the end
    onnx_ir.passes.common.RemoveUnusedNodesPass()(model)
    return model


def write_float_twin(path: Path, to: Path) -> None:
    """The same for a file.

    Raises:
        UsageError: there is nothing quantized in it.
    """
    import onnx_ir

    model = onnx_ir.load(path)
    if not any(node.op_type in (DEQUANTIZE, PRODUCT) for node in model.graph):
        cause = f"{path} is not quantized: it has neither {DEQUANTIZE} nor {PRODUCT}"
        raise UsageError(cause, "give an int8 file, in QDQ form or dynamically quantized")
    onnx_ir.save(float_twin(model), to)


def _undo_hard_sigmoid(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    """Add of a tensor read with another scale than it was written with, and a constant."""
    import onnx_ir

    reads = [maker(value, DEQUANTIZE) for value in node.inputs]
    writes = maker(reads[0].inputs[0], QUANTIZE) if reads[0] is not None else None
    shift = dequantized(reads[1]) if reads[1] is not None else None
    if reads[0] is None or writes is None or shift is None or shift.size != 1 or only_user(node, QUANTIZE) is None:
        return
    written, read = grid(writes), grid(reads[0])
    if written is None or read is None or written[0] == read[0]:
        return
    attributes = {"alpha": read[0] / written[0], "beta": float(shift.reshape(-1)[0])}
    gate = onnx_ir.node("HardSigmoid", [writes.inputs[0]], attributes=attributes, name=node.name)
    _replace(graph, node, gate)


def _undo_four_channels(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    """Conv of a quantized image with a plane of zeros at its end."""
    import onnx_ir

    read, weight = (maker(value, DEQUANTIZE) for value in node.inputs[:2])
    joined = maker(read.inputs[0], "Concat") if read is not None else None
    plane = maker(joined.inputs[1], "Expand") if joined is not None and len(joined.inputs) == 2 else None
    size = constant(plane.inputs[1]) if plane is not None else None
    integers = constant(weight.inputs[0]) if weight is not None else None
    if read is None or joined is None or weight is None or size is None or integers is None:
        return
    channels = integers.shape[1] - int(size[1])
    fewer = add_constant(graph, f"{node.outputs[0].name}_weight", integers[:, :channels])
    image = onnx_ir.node(DEQUANTIZE, [joined.inputs[0], *read.inputs[1:]])
    kept = onnx_ir.node(DEQUANTIZE, [fewer, *weight.inputs[1:]], attributes=weight.attributes)
    made = [image, kept]
    if integers[:, channels].any():
        shift = add_constant(graph, f"{node.outputs[0].name}_shift", _shift(integers, channels, read))
        made.append(onnx_ir.node("Add", [image.outputs[0], shift]))
    graph.insert_before(node, made)
    node.replace_input_with(0, made[-1].outputs[0] if len(made) > 2 else image.outputs[0])
    node.replace_input_with(1, kept.outputs[0])


def _shift(integers: NDArray[np.int8], channels: int, read: onnx_ir.Node) -> NDArray[np.float32]:
    """What each channel (1, C, 1, 1) must gain to make up for a plane of pixels that are 0, as far as one shift can."""
    found = grid(read)
    assert found is not None
    weight = integers[:, :channels].swapaxes(0, 1).reshape(channels, -1).T.astype(np.float64)
    shift, *_ = np.linalg.lstsq(weight, integers[:, channels].reshape(-1) * -float(found[1]))
    steps: NDArray[np.float32] = (found[0] * shift).astype(np.float32).reshape(1, -1, 1, 1)
    return steps


def _undo_quantization(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    """A dequantized constant becomes a float one; a value that was only rounded, itself."""
    import onnx_ir

    floats, quantize = dequantized(node), maker(node.inputs[0], QUANTIZE)
    if floats is not None:
        source = add_constant(graph, f"{node.outputs[0].name}_float", floats)
    elif quantize is not None and quantize.inputs[0] is not None and grid(quantize) != repeated_grid(node):
        source = _gate(graph, quantize, node)
    elif quantize is not None and quantize.inputs[0] is not None:
        source = _clamped(graph, quantize, quantize.inputs[0])
    else:
        return
    onnx_ir.convenience.replace_all_uses_with(node.outputs[0], source, replace_graph_outputs=True)


def _gate(graph: onnx_ir.Graph, write: onnx_ir.Node, read: onnx_ir.Node) -> onnx_ir.Value:
    """The hard sigmoid of integers that are read with another scale and zero point than they were written with."""
    import onnx_ir

    written, found = grid(write), grid(read)
    assert written is not None
    assert found is not None
    attributes = {"alpha": found[0] / written[0], "beta": found[0] * (written[1] - found[1])}
    gate = onnx_ir.node("HardSigmoid", [write.inputs[0]], attributes=attributes)
    gate.outputs[0].name = f"{read.outputs[0].name}_gate"
    gate.outputs[0].shape, gate.outputs[0].type = read.outputs[0].shape, read.outputs[0].type
    graph.insert_before(read, gate)
    return gate.outputs[0]


def _clamped(graph: onnx_ir.Graph, quantize: onnx_ir.Node, value: onnx_ir.Value) -> onnx_ir.Value:
    """The value, behind the clamp that saturation was, where the integers cannot be negative."""
    import onnx_ir

    source, found = value.producer(), grid(quantize)
    if source is None or source.op_type not in CLAMPED or found is None or found[1] != 0 or not _unsigned(quantize):
        return value
    name = f"{value.name}_clamped"
    ends = [np.array(0, np.float32), np.array(255 * found[0], np.float32)]
    low, high = (add_constant(graph, f"{name}_{index}", end) for index, end in enumerate(ends))
    clamp = onnx_ir.node("Clip", [value, low, high])
    clamp.outputs[0].shape, clamp.outputs[0].type = value.shape, value.type
    graph.insert_after(source, clamp)
    return clamp.outputs[0]


def _unsigned(quantize: onnx_ir.Node) -> bool:
    zero = constant(quantize.inputs[2]) if len(quantize.inputs) > 2 else None
    return zero is None or zero.dtype == np.uint8


def _join_hard_swish(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    """Mul of a value and its hard sigmoid with α = 1/6 and β = ½."""
    import onnx_ir

    gate = maker(node.inputs[1], "HardSigmoid") or maker(node.inputs[0], "HardSigmoid")
    if gate is None or gate.inputs[0] not in node.inputs:
        return
    alpha, beta = (gate.attributes[name].as_float() for name in ("alpha", "beta"))
    if abs(alpha - 1 / 6) < 1e-4 and abs(beta - 0.5) < 1e-4:
        _replace(graph, node, onnx_ir.node("HardSwish", [gate.inputs[0]], name=node.name))


def _replace(graph: onnx_ir.Graph, old: onnx_ir.Node, new: onnx_ir.Node) -> None:
    import onnx_ir

    before, after = old.outputs[0], new.outputs[0]
    after.name, after.shape, after.type = before.name, before.shape, before.type
    onnx_ir.convenience.replace_nodes_and_values(graph, old, [old], [new], [before], [after])


# In this order: the first two look at scales that the third takes away, the last at what is then left.
UNDONE = (
    ("Add", _undo_hard_sigmoid),
    ("Conv", _undo_four_channels),
    (PRODUCT, float_product),
    (DEQUANTIZE, _undo_quantization),
    ("Mul", _join_hard_swish),
)
