"""The normalized float image that a network takes -> the uint8 image itself, normalized by the network.

A pixel of a channel is normalized to ``scale · factor · (pixel - zero_point + shift)``; see ``InputSpec.pixel_grid``.

Matches QuantizeLinear of the graph's input where only DequantizeLinear and dense int8 convolutions read it, alone or
with the planes that ``four_channels`` put beside it. The pixels take the place of the integers. Factors go into the
weight of their channel, which is rounded again. What the shifts come to at each tap becomes the weight of the first
plane, which now holds zeros and so stands for ``-scale · zero_point``; as padding is ``zero_point`` in every plane,
and stands for nothing, this is right at the borders too. What the plane's weight rounds away, the bias takes up.
Equal, bit for bit, where factors are 1, shifts 0, and the input was quantized on just this grid. Else the rounding
of the input is gone, and there are errors of half a step for each weight whose channel has a factor, and of
``zero_point / 2`` pixel steps for each tap that lies outside of the image.

In any other graph, a float one too, DequantizeLinear with a scale for each channel is put before what reads the
image, and an Add where zero falls between two pixels. Equal but for the last bits of float products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.rewrites._match import (
    DEQUANTIZE,
    QUANTIZE,
    add_constant,
    constant,
    dequantized,
    grid,
    groups,
    maker,
    symmetric,
)
from pipeline.spec import EXACT, InputSpec, PixelGrid

if TYPE_CHECKING:
    import onnx_ir
    from numpy.typing import NDArray

LARGEST = 127


class Reader(NamedTuple):
    """A convolution of the quantized image, alone or with planes beside it."""

    convolution: onnx_ir.Node
    image: onnx_ir.Node
    weight: onnx_ir.Node
    planes: onnx_ir.Node | None


class Layer(NamedTuple):
    """A convolution's constants: int8 weight_OChw, a scale for each output or for all, bias_O."""

    weight: NDArray[np.int8]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]


def uint8_image(model: onnx_ir.Model, spec: InputSpec) -> onnx_ir.Model:
    """Rewrite the whole graph in place, and give the model back.

    Args:
        spec: how the float image was normalized.
    """
    import onnx_ir

    graph, pixels = model.graph, spec.pixel_grid
    [image] = graph.inputs
    image.type = onnx_ir.TensorType(onnx_ir.DataType.UINT8)
    users = list(image.consumers())
    quantize = users[0] if len(users) == 1 and users[0].op_type == QUANTIZE else None
    on_grid = quantize is not None and _on_grid(quantize, pixels)
    readers = _readers(quantize) if quantize is not None and not on_grid else []
    if quantize is None or not (on_grid or readers):
        _normalize(graph, image, pixels)
        return model
    for reader in readers:
        _fold(graph, reader, pixels)
    onnx_ir.convenience.replace_all_uses_with(quantize.outputs[0], image)
    graph.remove(quantize, safe=True)
    return model


def _on_grid(quantize: onnx_ir.Node, pixels: PixelGrid) -> bool:
    """The integers are the pixels already."""
    found = grid(quantize)
    same = found is not None and abs(found[0] / pixels.scale - 1) < EXACT / 255 and found[1] == pixels.zero_point
    return same and pixels.exact


def _readers(quantize: onnx_ir.Node) -> list[Reader]:
    """All that compute with the quantized image; none where one of them is no dense int8 convolution."""
    found: list[Reader | None] = []
    for user in quantize.outputs[0].consumers():
        planes = user if user.op_type == "Concat" else None
        for image in [user] if planes is None else planes.outputs[0].consumers():
            # A DequantizeLinear that nobody reads is what four_channels left.
            found += [_reader(node, image, planes) for node in image.outputs[0].consumers()]
    readers = [reader for reader in found if reader is not None]
    return readers if len(readers) == len(found) else []


def _reader(node: onnx_ir.Node, image: onnx_ir.Node, planes: onnx_ir.Node | None) -> Reader | None:
    """None where the node is something else, or reads something else."""
    weight = maker(node.inputs[1], DEQUANTIZE) if node.op_type == "Conv" and image.op_type == DEQUANTIZE else None
    fits = (
        weight is not None
        and symmetric(weight)
        and _bias(node) is not None
        and groups(node) == 1
        and (planes is None or maker(planes.inputs[1], "Expand") is not None)
    )
    return Reader(node, image, weight, planes) if weight is not None and fits else None


def _bias(convolution: onnx_ir.Node) -> NDArray[Any] | None:
    """Of a convolution, dequantized or not, 0 where it has none; None where it is computed."""
    value = convolution.inputs[2] if len(convolution.inputs) > 2 else None
    if value is None:
        return np.zeros(1, np.float32)
    dequantize = maker(value, DEQUANTIZE)
    return constant(value) if dequantize is None else dequantized(dequantize)


def _fold(graph: onnx_ir.Graph, reader: Reader, pixels: PixelGrid) -> None:
    """Make the convolution read pixels."""
    convolution, image, weight, planes = reader
    integers, scale, bias = constant(weight.inputs[0]), constant(weight.inputs[1]), _bias(convolution)
    assert integers is not None
    assert scale is not None
    assert bias is not None
    name, made = convolution.outputs[0].name, folded(Layer(integers, scale, bias), pixels)
    image.replace_input_with(1, add_constant(graph, "pixel_scale", np.array(pixels.scale, np.float32)))
    image.replace_input_with(2, add_constant(graph, "pixel_zero", np.array(pixels.zero_point, np.uint8)))
    weight.replace_input_with(0, add_constant(graph, f"{name}_pixel_weight", made.weight))
    convolution.resize_inputs(3)
    convolution.replace_input_with(2, add_constant(graph, f"{name}_pixel_bias", made.bias))
    expand = maker(planes.inputs[1], "Expand") if planes is not None else None
    if expand is not None:
        expand.replace_input_with(0, add_constant(graph, "pixel_plane", np.array(0, np.uint8)))


def folded(layer: Layer, pixels: PixelGrid) -> Layer:
    """The layer that reads pixels as integers of their grid; channels after the image's hold zeros.

    The bias lies on the grid of its kernel's sums, of step (scale of pixels) × (scale of the weight).
    """
    channels = len(pixels.factors)
    factors, shifts = (np.array(each).reshape(-1, 1, 1) for each in (pixels.factors, pixels.shifts))
    weight = layer.weight.copy()
    weight[:, :channels] = np.rint(layer.weight[:, :channels] * factors)
    # Of the rounded weights: the mean pixel, which stands for zero, then has no error from rounding.
    left_Ohw = (weight[:, :channels] * shifts).sum(1)
    if weight.shape[1] > channels and pixels.zero_point:
        weight[:, channels] = np.rint(-left_Ohw / pixels.zero_point).clip(-LARGEST, LARGEST)
        left_Ohw += weight[:, channels] * float(pixels.zero_point)
    step = pixels.scale * layer.scale.astype(np.float64)
    bias = np.rint(layer.bias / step + left_Ohw.sum((1, 2))) * step
    return Layer(weight, layer.scale, bias.astype(np.float32))


def _normalize(graph: onnx_ir.Graph, image: onnx_ir.Value, pixels: PixelGrid) -> None:
    """Put the arithmetic between the image and what reads it."""
    import onnx_ir

    uses = list(image.uses())
    scale_C = pixels.scale * np.array(pixels.factors)
    zero_C = pixels.zero_point - np.array(pixels.shifts)
    nearest_C = np.rint(zero_C).clip(0, 255)
    values = [
        add_constant(graph, "pixel_scale", scale_C.astype(np.float32)),
        add_constant(graph, "pixel_zero", nearest_C.astype(np.uint8)),
    ]
    nodes = [onnx_ir.node(DEQUANTIZE, [image, *values], attributes={"axis": 1}, name="node_dequantize_pixels")]
    if np.abs(nearest_C - zero_C).max() >= EXACT:
        shift = (scale_C * (nearest_C - zero_C)).astype(np.float32).reshape(1, -1, 1, 1)
        shifted = [nodes[0].outputs[0], add_constant(graph, "pixel_shift", shift)]
        nodes.append(onnx_ir.node("Add", shifted, name="node_shift_pixels"))
    graph.insert_before(graph[0], nodes)
    for node, index in uses:
        node.replace_input_with(index, nodes[-1].outputs[0])
