"""Pad with zeros, QuantizeLinear, DequantizeLinear, Conv -> Conv that pads itself.

Matches ``Pad`` (constant zeros, height and width only) of a value that was dequantized with the
same scale and zero point by which it is quantized again, where only convolutions without padding
read the result. Zero lies on the grid and quantizing again changes nothing, so the convolution may
pad its own input. ONNX Runtime has no integer kernel for Pad between QuantizeLinear and
DequantizeLinear: an int8 graph loses its float islands there. In a float graph the same is done by
PyTorch's exporter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.rewrites._match import DEQUANTIZE, QUANTIZE, constant, maker, only_user

if TYPE_CHECKING:
    import onnx_ir


def padded_convolution(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    import onnx_ir

    for node in list(model.graph):
        margins = _margins(node) if node.op_type == "Pad" else []
        convolutions = _readers(node) if margins else []
        for convolution in convolutions:
            convolution.replace_input_with(0, node.inputs[0])
            convolution.attributes.add(onnx_ir.AttrInt64s("pads", margins))
        if convolutions:
            [quantize] = node.outputs[0].consumers()
            [dequantize] = quantize.outputs[0].consumers()
            model.graph.remove([node, quantize, dequantize], safe=True)
    return model


def _margins(pad: onnx_ir.Node) -> list[int]:
    """Zeros at top, left, bottom and right; none where the node does something else."""
    mode = pad.attributes.get("mode")
    margins, *values = [_elements(value) for value in pad.inputs[1:3]]
    zeros = values in ([], [[]], [[0]]) and (mode is None or mode.as_string() == "constant")
    if margins is None or len(margins) != 8 or len(pad.inputs) > 3 or not zeros:
        return []
    _, _, top, left, *after, bottom, right = map(int, margins)
    return [] if any([*margins[:2], *after]) else [top, left, bottom, right]


def _readers(pad: onnx_ir.Node) -> list[onnx_ir.Node]:
    """The convolutions behind the same quantization as before; none where anything else reads."""
    before, quantize = maker(pad.inputs[0], DEQUANTIZE), only_user(pad, QUANTIZE)
    dequantize = only_user(quantize, DEQUANTIZE) if quantize else None
    if not before or not quantize or not dequantize:
        return []
    grids = [[_elements(value) for value in node.inputs[1:]] for node in (before, quantize, dequantize)]
    convolutions = list(dequantize.outputs[0].consumers())
    same = grids[0] == grids[1] == grids[2] and None not in grids[0]
    return convolutions if same and all(_pads_nothing(node, dequantize) for node in convolutions) else []


def _pads_nothing(node: onnx_ir.Node, source: onnx_ir.Node) -> bool:
    """A convolution of ``source`` with explicit padding of nothing."""
    pads, automatic = node.attributes.get("pads"), node.attributes.get("auto_pad")
    return (
        node.op_type == "Conv"
        and node.inputs[0] is source.outputs[0]
        and (automatic is None or automatic.as_string() == "NOTSET")
        and (pads is None or not any(pads.as_ints()))
    )


def _elements(value: onnx_ir.Value | None) -> list[float] | None:
    """Of a constant; [] where the input is left out, None where it is computed."""
    array = constant(value)
    return [] if value is None else None if array is None else [float(element) for element in array.reshape(-1)]
