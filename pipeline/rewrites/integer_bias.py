"""Gemm of dequantized integers with a float bias -> the bias as int32 behind DequantizeLinear.

Matches ``Gemm(x, w, bias)`` where x and w are dequantized, and the bias is a float constant that lies on
the grid of step (scale of x) × (scale of w). Those integers, dequantized by that step, are the same
numbers up to the last bits of a float product; a bias off the grid is left alone. ONNX Runtime makes
an integer kernel of such a Gemm, also of one whose result stays float, as logits do; of the other it
dequantizes the whole weight in every call. (A convolution's bias it rounds by itself.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.rewrites._match import DEQUANTIZE, add_constant, constant, maker

if TYPE_CHECKING:
    import onnx_ir
    from numpy.typing import NDArray

OFF_GRID = 0.01  # of a step
FLOAT32 = 2.0**-22  # of a number, what its float32 and two products may be off


def integer_bias(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    import onnx_ir

    for node in list(model.graph):
        step = _step(node) if node.op_type == "Gemm" and len(node.inputs) > 2 else None
        bias = constant(node.inputs[2]) if step is not None else None
        if step is None or bias is None or not _on_grid(bias, step):
            continue
        name = f"{node.outputs[0].name}_bias"
        integers = np.rint(bias.astype(np.float64) / step).astype(np.int32)
        values = [
            add_constant(model.graph, f"{name}_integers", integers),
            add_constant(model.graph, f"{name}_step", step.astype(np.float32)),
            add_constant(model.graph, f"{name}_zero", np.zeros(step.shape, np.int32)),
        ]
        dequantize = onnx_ir.node(DEQUANTIZE, values, attributes={"axis": 0})
        model.graph.insert_before(node, dequantize)
        node.replace_input_with(2, dequantize.outputs[0])
    return model


def _step(node: onnx_ir.Node) -> NDArray[np.float64] | None:
    """The grid of its sums, a step for each output or one for all; None where an input is no integer."""
    makers = [maker(value, DEQUANTIZE) for value in node.inputs[:2]]
    scales: list[Any] = [None if dequantize is None else constant(dequantize.inputs[1]) for dequantize in makers]
    if any(scale is None for scale in scales) or scales[0].size != 1:
        return None
    step: NDArray[np.float64] = scales[0].astype(np.float64).reshape(()) * scales[1]
    return step


def _on_grid(bias: NDArray[Any], step: NDArray[np.float64]) -> bool:
    """Within int32, and as near to whole steps as float32 can tell."""
    integers = bias.astype(np.float64) / step
    within = bool(np.abs(integers).max(initial=0) < 2**31 - 1)
    return within and bool((np.abs(integers - np.rint(integers)) <= OFF_GRID + np.abs(integers) * FLOAT32).all())
