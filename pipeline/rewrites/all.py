"""Every rewrite, in an order in which each finds what those before it leave."""

from __future__ import annotations

import onnx_ir
import onnx_ir.passes.common

from pipeline.rewrites.aligned_channels import aligned_channels
from pipeline.rewrites.four_channels import four_channels
from pipeline.rewrites.global_average_pool import global_average_pool
from pipeline.rewrites.hard_sigmoid import hard_sigmoid
from pipeline.rewrites.integer_bias import integer_bias
from pipeline.rewrites.padded_convolution import padded_convolution

REWRITES = (global_average_pool, padded_convolution, hard_sigmoid, integer_bias, four_channels, aligned_channels)


def rewritten(model: onnx_ir.Model) -> onnx_ir.Model:
    """Apply all in place, drop what nobody reads any more, and give the model back."""
    for rewrite in REWRITES:
        rewrite(model)
    onnx_ir.passes.common.RemoveUnusedNodesPass()(model)
    return model
