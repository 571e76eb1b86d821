"""QuantizeLinear, DequantizeLinear, Conv of one or three channels -> the same of four.

Matches a dense convolution, larger than 1 × 1, whose input was quantized per tensor and whose weight is an
int8 constant. A plane of zeros is added to the quantized input, and zeros to the weight: each sum
gains products with zero, so the answers are the same, bit for bit. ONNX Runtime gathers the pixels under
the kernel by copying each one's channels, and multiplies them in groups of four: copies of four bytes and
full groups take half of the time that three bytes take, most of it in a mobile network's first layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.rewrites._match import DEQUANTIZE, QUANTIZE, add_constant, constant, grid, groups, maker

if TYPE_CHECKING:
    import onnx_ir

CHANNELS = 4


def four_channels(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    for node in list(model.graph):
        if node.op_type == "Conv" and _matches(node):
            _rewrite(model.graph, node)
    return model


def _matches(node: onnx_ir.Node) -> bool:
    before, weight = (maker(value, DEQUANTIZE) for value in node.inputs[:2])
    if before is None or weight is None or grid(before) is None:
        return False
    integers, quantize = constant(weight.inputs[0]), maker(before.inputs[0], QUANTIZE)
    shape = quantize.outputs[0].shape if quantize is not None else None
    return (
        integers is not None
        and shape is not None
        and all(isinstance(size, int) for size in shape)
        and groups(node) == 1
        and integers.shape[1] < CHANNELS
        and integers[0, 0].size > 1
    )


def _rewrite(graph: onnx_ir.Graph, node: onnx_ir.Node) -> None:
    import onnx_ir

    before, weight = (maker(value, DEQUANTIZE) for value in node.inputs[:2])
    assert before is not None
    assert weight is not None
    pixels, integers = before.inputs[0], constant(weight.inputs[0])
    assert pixels is not None
    assert pixels.shape is not None
    assert integers is not None
    images, channels, *edges = pixels.shape.numpy()
    missing = CHANNELS - channels
    size = np.array([images, missing, *edges], np.int64)
    padded = np.pad(integers, [(0, 0), (0, missing), (0, 0), (0, 0)])
    name = node.outputs[0].name
    # A constant that the runtime makes when it opens the file, and that takes no room in it.
    plane = onnx_ir.node("Expand", [before.inputs[2], add_constant(graph, f"{name}_plane_size", size)])
    four = onnx_ir.node("Concat", [pixels, plane.outputs[0]], attributes={"axis": 1})
    wider = onnx_ir.node(DEQUANTIZE, [four.outputs[0], *before.inputs[1:]])
    heavier = onnx_ir.node(
        DEQUANTIZE, [add_constant(graph, f"{name}_weight", padded), *weight.inputs[1:]], attributes=weight.attributes
    )
    for new in (plane, four, wider, heavier):
        graph.insert_before(node, new)
    node.replace_input_with(0, wider.outputs[0])
    node.replace_input_with(1, heavier.outputs[0])
