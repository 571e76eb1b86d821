"""Every rewrite, in an order in which each finds what those before it leave."""

from __future__ import annotations

import onnx_ir
import onnx_ir.passes.common

from pipeline.rewrites.aligned_channels import aligned_channels
from pipeline.rewrites.four_channels import four_channels
from pipeline.rewrites.global_average_pool import global_average_pool
from pipeline.rewrites.hard_sigmoid import hard_sigmoid
from pipeline.rewrites.implicit_zero import implicit_zero
from pipeline.rewrites.integer_bias import integer_bias
from pipeline.rewrites.kept_float import kept_float
from pipeline.rewrites.matrix_convolution import matrix_convolution
from pipeline.rewrites.narrow_gate import narrow_gate
from pipeline.rewrites.padded_convolution import padded_convolution
from pipeline.rewrites.uint8_image import uint8_image
from pipeline.spec import InputSpec

REWRITES = (
    global_average_pool,
    padded_convolution,
    hard_sigmoid,
    integer_bias,
    four_channels,
    aligned_channels,
    narrow_gate,
    implicit_zero,
    kept_float,
)


def rewritten(model: onnx_ir.Model, amx: bool = False, pixels: InputSpec | None = None) -> onnx_ir.Model:
    """Apply all in place, drop what nobody reads any more, and give the model back.

    Args:
        amx: also what only processors with AMX like; see ``matrix_convolution``.
        pixels: how the float image was normalized, where the model shall take the uint8 image in its place.

    Shapes between input and output go too: whoever needs them infers them, and they are half a per cent of a file.
    """
    for rewrite in REWRITES:
        rewrite(model)
    if pixels is not None:
        uint8_image(model, pixels)
    if amx:
        matrix_convolution(model)
    model.graph.sort()  # the pass goes through it once, from the end
    onnx_ir.passes.common.RemoveUnusedNodesPass()(model)
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = value.type = None
    return model
