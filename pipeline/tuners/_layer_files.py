"""Layers as ONNX files to be timed: one shape a file, one branch a width, each as it stands in a network.

A branch is a small convolution, the layer with what follows it, and another small convolution: so the layer
gets its input, and gives its output, in the arrangement of memory that neighbours in a network use. In int8
every result is quantized, and the exporter's rewrites are applied. The nodes of branch 7 that are to be timed
have names with ``7:`` in them; the runtime keeps that when it fuses nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir
import onnx_ir.passes.common

from pipeline.rewrites.all import rewritten
from pipeline.tuners._layers import LayerShape, Point
from pipeline.tuners._sketch import PLAIN, Sketch

if TYPE_CHECKING:
    from pipeline.tuners._sketch import Grid

    Settling = tuple[onnx_ir.Value, Grid]  # a result, and the grid that int8 puts it on

IR_VERSION = 10
NEIGHBOUR = 8  # channels of the small convolutions
SMALL = LayerShape(kind="convolution")
CLIPPED: Grid = (6 / 255, 0)
SIGMOID: Grid = (1 / 255, 0)
BEFORE_GATE, GATE = (6 / 256, 128), (1 / 256, 0)  # between these a hard sigmoid costs nothing


def write_layers(shape: LayerShape, points: Sequence[Point], integer: bool, path: Path) -> None:
    """A file with the layer at every point; it takes one number and gives a few a branch."""
    sketch = Sketch(integer)
    for number, (inputs, outputs) in enumerate(points):
        own = outputs if shape.kind == "depthwise" else inputs
        Branch(sketch, shape, own, outputs, f"{number}:").draw()
    model = onnx_ir.Model(sketch.graph, ir_version=IR_VERSION)
    onnx_ir.save(rewritten(onnx_ir.passes.common.ShapeInferencePass()(model).model), path)


@dataclass(frozen=True)
class Branch:
    """One layer with its surroundings.

    Attributes:
        name: begins the names of what is timed.
    """

    sketch: Sketch
    shape: LayerShape
    inputs: int
    outputs: int
    name: str

    def draw(self) -> None:
        """Add the branch to the graph."""
        sketch = self.sketch
        if self.shape.kind == "linear":
            before = sketch.settled(sketch.node("Flatten", [sketch.spread((1, self.inputs, 1, 1))]))
        else:
            before = self.neighbour(self.shape.size, self.inputs)
        result = self.followed(sketch.weighted(self.shape, before, (self.inputs, self.outputs), self.name))
        if self.shape.kind != "linear":
            after = sketch.weighted(SMALL, result, (self.outputs, NEIGHBOUR))
            result = sketch.node("GlobalAveragePool", [sketch.settled(after)])
        sketch.graph.outputs.append(result)

    def neighbour(self, size: tuple[int, int], channels: int) -> onnx_ir.Value:
        """What another layer would give."""
        image = self.sketch.spread((1, NEIGHBOUR, *size))
        return self.sketch.settled(self.sketch.weighted(SMALL, image, (NEIGHBOUR, channels)))

    def followed(self, value: onnx_ir.Value) -> onnx_ir.Value:
        """What happens to the layer's result until the next layer reads it."""
        grid = PLAIN
        for operator in self.shape.after:
            if operator not in ("relu", "relu6"):  # a result is quantized after these
                value = self.sketch.settled(value, BEFORE_GATE if operator == "hardsigmoid" else grid)
            value, grid = getattr(self, operator)(value)
        return self.sketch.settled(value, grid)

    def node(self, operator: str, *inputs: onnx_ir.Value, **attributes: float) -> onnx_ir.Value:
        return self.sketch.node(operator, inputs, self.name, **attributes)

    def relu(self, value: onnx_ir.Value) -> Settling:
        return self.node("Relu", value), CLIPPED

    def relu6(self, value: onnx_ir.Value) -> Settling:
        bounds = [self.sketch.constant(np.array(bound, np.float32)) for bound in (0, 6)]
        return self.node("Clip", value, *bounds), CLIPPED

    def hardsigmoid(self, value: onnx_ir.Value) -> Settling:
        return self.node("HardSigmoid", value, alpha=1 / 6, beta=0.5), GATE

    def hardswish(self, value: onnx_ir.Value) -> Settling:
        if not self.sketch.integer:
            return self.node("HardSwish", value), PLAIN
        gate = self.sketch.settled(self.node("HardSigmoid", value, alpha=1 / 6, beta=0.5), SIGMOID)
        return self.node("Mul", value, gate), PLAIN

    def sigmoid(self, value: onnx_ir.Value) -> Settling:
        return self.node("Sigmoid", value), SIGMOID

    def silu(self, value: onnx_ir.Value) -> Settling:
        return self.node("Mul", value, self.sketch.settled(self.node("Sigmoid", value), SIGMOID)), PLAIN

    def add(self, value: onnx_ir.Value) -> Settling:
        return self.node("Add", value, self.neighbour(self.shape.result, self.outputs)), PLAIN

    def multiply(self, value: onnx_ir.Value) -> Settling:
        return self.node("Mul", value, self.neighbour((1, 1), self.outputs)), PLAIN

    def mean(self, value: onnx_ir.Value) -> Settling:
        """Beside what goes on: it is read by a squeeze-and-excite's gate, or the classifier."""
        self.sketch.graph.outputs.append(self.sketch.settled(self.node("GlobalAveragePool", value)))
        return value, PLAIN
