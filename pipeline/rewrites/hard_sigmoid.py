"""DequantizeLinear, HardSigmoid, QuantizeLinear -> DequantizeLinear, Add, QuantizeLinear, or nothing at all.

Matches ``HardSigmoid`` of a dequantized tensor with one scale, whose result is quantized to uint8 with
zero point 0 and a scale of at most 1/255. There ``clip(αx + β, 0, 1)`` is an affine requantization: the
scale of x times α gives αx from the same integers, Add brings β, and uint8 saturates at 0, and at 1 or
before. With a larger scale it would saturate above 1, so that is left alone. Equal but for the order of
float products, which can move a value on a tie by one step. ONNX Runtime has no integer kernel for
HardSigmoid; Add between DequantizeLinear and QuantizeLinear becomes one.

Where the integers come out as they went in (α · scale is the new scale, β the new scale times the zero
point), they are only read with the new scale: equal, and no operator is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.rewrites._match import DEQUANTIZE, QUANTIZE, add_constant, grid, maker, only_user

if TYPE_CHECKING:
    import onnx_ir

ROUNDING = 1 + 1e-6  # 1/255 as float32
ALPHA, BETA = 0.2, 0.5  # where the node does not say


def hard_sigmoid(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    for node in list(model.graph):
        if node.op_type == "HardSigmoid" and _between_grids(node):
            (_relabel if _is_identity(node) else _rewrite)(model.graph, node)
    return model


def _between_grids(node: onnx_ir.Node) -> bool:
    """One scale before, and after it a grid of uint8 that ends at 1 at the latest."""
    before, after = maker(node.inputs[0], DEQUANTIZE), only_user(node, QUANTIZE)
    if before is None or after is None or grid(before) is None or len(after.inputs) < 3:
        return False
    [*_, zero_point], ends = after.inputs, grid(after)
    unsigned = zero_point is not None and zero_point.dtype is not None and zero_point.dtype.name == "UINT8"
    return unsigned and ends is not None and ends[0] <= ROUNDING / 255 and ends[1] == 0


def _is_identity(node: onnx_ir.Node) -> bool:
    """α · scale · (q − zero point) + β is the new scale times the same q."""
    before, after = maker(node.inputs[0], DEQUANTIZE), only_user(node, QUANTIZE)
    grids = [grid(one) for one in (before, after) if one is not None]
    (scale, zero_point), (wanted, _) = [found for found in grids if found is not None]
    alpha, beta = _attribute(node, "alpha", ALPHA), _attribute(node, "beta", BETA)
    same_steps = abs(alpha * scale / wanted - 1) < ROUNDING - 1
    return same_steps and abs(beta - wanted * zero_point) < (ROUNDING - 1) * beta


def _relabel(_: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    """Read the integers from before with the scale of those after: no node is left."""
    import onnx_ir

    before, after = maker(node.inputs[0], DEQUANTIZE), only_user(node, QUANTIZE)
    assert before is not None
    assert before.inputs[0] is not None
    assert after is not None
    onnx_ir.convenience.replace_all_uses_with(after.outputs[0], before.inputs[0])


def _rewrite(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    import onnx_ir

    before = maker(node.inputs[0], DEQUANTIZE)
    assert before is not None
    grid_before = grid(before)
    assert grid_before is not None
    alpha, beta = (_attribute(node, name, default) for name, default in (("alpha", ALPHA), ("beta", BETA)))
    scale = add_constant(graph, f"{node.outputs[0].name}_scale", np.array(alpha * grid_before[0], np.float32))
    step = add_constant(graph, f"hard_sigmoid_{beta:g}_scale", np.array(beta / 255, np.float32))
    rank = len(node.outputs[0].shape or ())
    # One element, but of the tensor's rank: a lower one is brought to it in every call.
    most = add_constant(graph, f"hard_sigmoid_255_{rank}", np.full([1] * rank, 255, np.uint8))
    none = add_constant(graph, "hard_sigmoid_0", np.array(0, np.uint8))
    scaled = onnx_ir.node(DEQUANTIZE, [before.inputs[0], scale, *before.inputs[2:]])
    shift = onnx_ir.node(DEQUANTIZE, [most, step, none])
    shifted = onnx_ir.node("Add", [scaled.outputs[0], shift.outputs[0]], name=node.name)
    old, new = node.outputs[0], shifted.outputs[0]
    new.name = old.name
    for value in (new, scaled.outputs[0]):
        value.shape, value.type = old.shape, old.type
    onnx_ir.convenience.replace_nodes_and_values(graph, node, [node], [scaled, shift, shifted], [old], [new])


def _attribute(node: onnx_ir.Node, name: str, default: float) -> float:
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_float()
