"""An ONNX graph that grows, node by node, in float or in int8 as our quantizers write it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir

from pipeline.rewrites._match import DEQUANTIZE, QUANTIZE, add_constant
from pipeline.tuners._layers import LayerShape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grid = tuple[float, int]

OPSET = 21
PLAIN: Grid = (0.05, 128)  # scale and zero point of any result
WEIGHT_STEP = 0.01


class Sketch:
    """The graph, of one input: a single number from which all else is spread."""

    def __init__(self, integer: bool) -> None:
        self.integer = integer
        number = onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
        self.input = onnx_ir.Value(name="input", shape=onnx_ir.Shape([1, 1, 1, 1]), type=number)
        self.graph = onnx_ir.Graph([self.input], [], nodes=[], opset_imports={"": OPSET}, name="layers")

    def node(self, operator: str, inputs: Sequence[onnx_ir.Value], name: str = "", **attributes: Any) -> onnx_ir.Value:
        """What a new node gives. name: begins its names."""
        number = len(self.graph)
        made = onnx_ir.node(operator, inputs, attributes=attributes, name=f"{name}{operator}_{number}")
        made.outputs[0].name = f"{name}value_{number}"  # which fused nodes may be named after
        self.graph.append(made)
        return made.outputs[0]

    def constant(self, array: NDArray[Any]) -> onnx_ir.Value:
        return add_constant(self.graph, f"constant_{len(self.graph.initializers)}", array)

    def spread(self, shape: Sequence[int]) -> onnx_ir.Value:
        """The input's number in that shape, which no runtime can know beforehand."""
        return self.settled(self.node("Expand", [self.input, self.constant(np.array(shape, np.int64))]))

    def settled(self, value: onnx_ir.Value, grid: Grid = PLAIN) -> onnx_ir.Value:
        """In int8, quantized and dequantized; in float, itself."""
        if not self.integer:
            return value
        scale, zero_point = self.constant(np.array(grid[0], np.float32)), self.constant(np.array(grid[1], np.uint8))
        return self.node(DEQUANTIZE, [self.node(QUANTIZE, [value, scale, zero_point]), scale, zero_point])

    def weighted(
        self, shape: LayerShape, value: onnx_ir.Value, widths: tuple[int, int], name: str = ""
    ) -> onnx_ir.Value:
        """What a layer with any weights gives, not yet settled. widths: of its input and output."""
        inputs, outputs = widths
        if shape.kind == "linear":
            return self.node("Gemm", [value, *self._weights((outputs, inputs))], name, transB=1)
        depth, groups = (1, outputs) if shape.kind == "depthwise" else (inputs // shape.groups, shape.groups)
        weights = self._weights((outputs, depth, *shape.kernel))
        form = {"pads": shape.padding, "strides": shape.stride, "dilations": shape.dilation}
        return self.node("Conv", [value, *weights], name, group=groups, **form)

    def _weights(self, shape: tuple[int, ...]) -> list[onnx_ir.Value]:
        """A weight and a bias."""
        bias = self.constant(np.zeros(shape[0], np.float32))
        if not self.integer:
            return [self.constant(np.full(shape, WEIGHT_STEP, np.float32)), bias]
        integers = np.ones(shape, np.int8)
        steps, zeros = np.full(shape[0], WEIGHT_STEP, np.float32), np.zeros(shape[0], np.int8)
        weight = [self.constant(array) for array in (integers, steps, zeros)]
        return [self.node(DEQUANTIZE, weight, axis=0), bias]
