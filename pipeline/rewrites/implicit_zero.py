"""DequantizeLinear of a signed constant with zero points of 0 -> the same without them.

Matches weights and biases of convolutions (int8, int32) whose zero points are all 0, which is what a missing
one means. Equal by definition; the file is smaller by a byte, or four, for every channel. ONNX Runtime makes
integer kernels of such convolutions all the same, but not of Gemm, which is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.rewrites._match import DEQUANTIZE, constant

if TYPE_CHECKING:
    import onnx_ir


def implicit_zero(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    for node in model.graph:
        if node.op_type != DEQUANTIZE or len(node.inputs) < 3:
            continue
        integers, zero = constant(node.inputs[0]), constant(node.inputs[2])
        signed = integers is not None and integers.dtype in (np.int8, np.int32)
        convolutions = all(user.op_type == "Conv" for user in node.outputs[0].consumers())
        if signed and convolutions and zero is not None and not zero.any():
            node.resize_inputs(2)
    return model
