"""A product of a map with one integer a channel, of few channels -> with one integer a channel and column.

Matches ``Mul`` of a quantized (N, C, H, W) and a quantized (N, C, 1, 1), as squeeze-excite has it, where C is small
and the map is not. Each integer is repeated along the width by ``Expand``: the same numbers are multiplied, so the
answers are the same, bit for bit. ONNX Runtime keeps the channels of a pixel side by side, and begins its product
anew wherever the smaller factor ends: for sixteen channels at each pixel, which takes four times as long. With
(N, C, 1, W) it begins anew at each row. MobileNetV3-Small gets faster by 2 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.rewrites._match import DEQUANTIZE, QUANTIZE, add_constant, maker

if TYPE_CHECKING:
    import onnx_ir

# With more channels repeating them costs what it brings; so it does where there are few pixels.
MOST_CHANNELS, LEAST_WIDTH = 48, 16


def narrow_gate(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    for node in list(model.graph):
        if node.op_type == "Mul":
            for gate, other in ((0, 1), (1, 0)):
                width = _width(node.inputs[gate], node.inputs[other])
                if width:
                    _rewrite(model.graph, node, gate, width)
    return model


def _width(gate: onnx_ir.Value | None, map_: onnx_ir.Value | None) -> int:
    """Of the map that the gate is worth repeating for; 0 if it is not."""
    small, large = _sizes(gate), _sizes(map_)
    if len(small) != 4 or len(large) != 4 or small[2:] != (1, 1) or maker(gate, DEQUANTIZE) is None:
        return 0
    return large[3] if small[1] <= MOST_CHANNELS and large[2] > 1 and large[3] >= LEAST_WIDTH else 0


def _sizes(value: onnx_ir.Value | None) -> tuple[int, ...]:
    """Nothing where one is not known."""
    shape = None if value is None else value.shape
    return () if shape is None or shape.has_unknown_dim() else tuple(shape.numpy())


def _rewrite(graph: onnx_ir.Graph, node: onnx_ir.Node, gate: int, width: int) -> None:
    import numpy as np
    import onnx_ir

    rounded = maker(node.inputs[gate], DEQUANTIZE)
    assert rounded is not None
    columns = add_constant(graph, f"columns_{width}", np.array([1, 1, 1, width]))
    wide = onnx_ir.node("Expand", [rounded.outputs[0], columns], name=f"{node.name}_columns")
    integers = onnx_ir.node(QUANTIZE, [wide.outputs[0], *rounded.inputs[1:]])
    floats = onnx_ir.node(DEQUANTIZE, [integers.outputs[0], *rounded.inputs[1:]])
    graph.insert_before(node, [wide, integers, floats])
    node.replace_input_with(gate, floats.outputs[0])
