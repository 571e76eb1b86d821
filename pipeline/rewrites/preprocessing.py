"""A network of one fitted image -> one that takes a uint8 image of any size, and fits and normalizes it itself.

Puts ``InputSpec.fit`` and ``InputSpec.normalize`` in front of the graph, as operators that every ONNX runtime and
accelerator has: the matrices of resampling are computed from the image's own size, and two products of matrices apply
them. Only the part of the image that the crop can see is ever turned into floats. Places are exact fractions of
integers, and only a distance within the filter's reach becomes a float32: builds for WebGPU have no doubles.
Equal but for the last bits of weights and sums, which can round one pixel in very many the other way.

Not ``Resize``, which would be shorter: ``antialias`` is missing in ONNX Runtime for WebGPU and in most converters,
and with integers it rounds, and for cubic filters clips, between the two axes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pipeline.rewrites._match import add_constant
from pipeline.spec import HALVES_UP, InputSpec

if TYPE_CHECKING:
    import onnx_ir

IMAGE = "image"
SUPPORT = {"bilinear": 1, "bicubic": 2}  # half of the filter's width, in pixels


class Axis(NamedTuple):
    """One edge of the image: int64 of shape (1,), computed in the graph.

    Attributes:
        edge, target: pixels of the image, and of the resized one. wider: the larger of the two.
        twice_first: of the row or column of the resized image that the crop begins with.
        start, stop: pixels of the image that the crop can see.
    """

    edge: onnx_ir.Value
    target: onnx_ir.Value
    wider: onnx_ir.Value
    twice_first: onnx_ir.Value
    start: onnx_ir.Value
    stop: onnx_ir.Value


def file_with_preprocessing(path: Path, spec: InputSpec) -> bytes:
    """An ONNX file's content with the preprocessing in front.

    Args:
        spec: the preprocessing of the file's one input.
    """
    import onnx_ir

    content: bytes = onnx_ir.to_proto(with_preprocessing(onnx_ir.load(path), spec)).SerializeToString()
    return content


def with_preprocessing(model: onnx_ir.Model, spec: InputSpec) -> onnx_ir.Model:
    """Rewrite the graph in place, and give the model back; its input becomes ``image``, uint8 (height, width, C)."""
    import onnx_ir

    graph, front = model.graph, Front(model.graph)
    [fitted] = graph.inputs
    shape, pixel = onnx_ir.Shape(["height", "width", spec.channels]), onnx_ir.TensorType(onnx_ir.DataType.UINT8)
    image = onnx_ir.Value(name=IMAGE, shape=shape, type=pixel)
    ready = front.normalized(front.fitted(image, spec), spec)
    onnx_ir.convenience.replace_all_uses_with(fitted, ready)
    graph.inputs[:] = [image]
    graph.insert_before(graph[0], front.nodes)
    return model


class Front:
    """Nodes to be put before a graph."""

    def __init__(self, graph: onnx_ir.Graph) -> None:
        self.graph, self.nodes = graph, list[Any]()

    def add(self, kind: str, *inputs: Any, **attributes: Any) -> onnx_ir.Value:
        """One more node; what is no value yet becomes a constant."""
        import onnx_ir

        name = f"preprocess_{len(self.nodes)}_{kind.lower()}"
        values = [one if isinstance(one, onnx_ir.Value) else self._constant(name, one) for one in inputs]
        self.nodes.append(onnx_ir.node(kind, values, attributes, name=f"node_{name}"))
        made: onnx_ir.Value = self.nodes[-1].outputs[0]
        made.name = name
        return made

    def _constant(self, name: str, value: Any) -> onnx_ir.Value:
        """Python's integers are sizes here."""
        return add_constant(self.graph, f"{name}_constant", np.asarray(value))

    def fitted(self, image: onnx_ir.Value, spec: InputSpec) -> onnx_ir.Value:
        """``InputSpec.fit``: float32 whole numbers (1, C, height, width) from 0 to 255."""
        (height, width), channels = spec.size, spec.channels
        vertical, horizontal = (self.axis(image, index, spec) for index in (0, 1))
        visible = self.visible(image, vertical, horizontal)
        planes = self.add("Transpose", visible, perm=[2, 0, 1])
        columns = self.add("Transpose", self.matrix(horizontal, width, spec), perm=[1, 0])
        narrowed = self.whole(self.add("MatMul", planes, columns))
        fitted = self.whole(self.add("MatMul", self.matrix(vertical, height, spec), narrowed))
        return self.add("Reshape", fitted, [1, channels, height, width])

    def whole(self, pixels: onnx_ir.Value) -> onnx_ir.Value:
        """As bytes hold them."""
        nearest = self.add("Floor", self.add("Add", pixels, np.float32(HALVES_UP)))
        return self.add("Clip", nearest, np.float32(0), np.float32(255))

    def axis(self, image: onnx_ir.Value, index: int, spec: InputSpec) -> Axis:
        """What follows from the size of an image along one of its edges, in exact fractions of ``2 * target``."""
        size, support = spec.size[index], SUPPORT[spec.interpolation]
        edge = self.add("Shape", image, start=index, end=index + 1)
        shorter = self.add("ReduceMin", self.add("Shape", image, start=0, end=2), keepdims=0)
        target = self.add("Div", self.add("Mul", edge, spec.resize), shorter)
        twice_first = self.add("Mul", self.half(self.add("Sub", target, size)), 2)
        wider = self.add("Max", edge, target)
        reach, steps = self.add("Mul", wider, 2 * support), self.add("Mul", target, 2)
        low, high = (self.add("Mul", self.add("Add", twice_first, odd), edge) for odd in (1, 2 * size - 1))
        start = self.add("Max", self.add("Div", self.add("Sub", low, reach), steps), 0)
        above = self.add("Add", self.add("Add", high, reach), self.add("Sub", steps, 1))
        return Axis(edge, target, wider, twice_first, start, self.add("Min", self.add("Div", above, steps), edge))

    def half(self, whole: onnx_ir.Value) -> onnx_ir.Value:
        """Of a whole number, a whole number: the even one of two that are as near."""
        import onnx_ir

        halved = self.add("Mul", self.add("Cast", whole, to=onnx_ir.DataType.FLOAT), np.float32(0.5))
        return self.add("Cast", self.add("Round", halved), to=onnx_ir.DataType.INT64)

    def visible(self, image: onnx_ir.Value, *axes: Axis) -> onnx_ir.Value:
        """Float32 pixels of the part that the crop can see."""
        import onnx_ir

        ends = [axis.start for axis in axes], [axis.stop for axis in axes]
        bounds = [self.add("Concat", *values, axis=0) for values in ends]
        return self.add("Cast", self.add("Slice", image, *bounds, [0, 1]), to=onnx_ir.DataType.FLOAT)

    def matrix(self, axis: Axis, size: int, spec: InputSpec) -> onnx_ir.Value:
        """``resampling_matrix``: float32 (size, pixels that the crop can see)."""
        import onnx_ir

        odd = 2 * np.arange(size)[:, None] + 1
        centres = self.add("Mul", self.add("Add", odd, axis.twice_first), axis.edge)
        ends = [self.add("Squeeze", end) for end in (axis.start, axis.stop)]
        pixels = self.add("Add", self.add("Mul", self.add("Range", *ends, 1), 2), 1)
        away = self.add("Sub", centres, self.add("Mul", pixels, axis.target))
        wide = self.add("Cast", self.add("Mul", axis.wider, 2), to=onnx_ir.DataType.FLOAT)
        distance = self.add("Div", self.add("Abs", self.add("Cast", away, to=onnx_ir.DataType.FLOAT)), wide)
        weight = self.cubic(distance) if spec.interpolation == "bicubic" else self.triangle(distance)
        return self.add("Div", weight, self.add("ReduceSum", weight, [1], keepdims=1))

    def triangle(self, distance: onnx_ir.Value) -> onnx_ir.Value:
        return self.add("Max", self.add("Sub", np.float32(1), distance), np.float32(0))

    def cubic(self, distance: onnx_ir.Value) -> onnx_ir.Value:
        """Keys' kernel with a = -1/2, each half a polynomial by Horner's rule."""
        near = self.polynomial(distance, 1.5, -2.5, 0.0, 1.0)
        far = self.polynomial(distance, -0.5, 2.5, -4.0, 2.0)
        beyond = self.add("Where", self.add("Less", distance, np.float32(2)), far, np.float32(0))
        return self.add("Where", self.add("Less", distance, np.float32(1)), near, beyond)

    def polynomial(self, x: onnx_ir.Value, highest: float, *lower: float) -> onnx_ir.Value:
        total: Any = np.float32(highest)
        for coefficient in lower:
            total = self.add("Add", self.add("Mul", total, x), np.float32(coefficient))
        return total  # type: ignore[no-any-return]

    def normalized(self, pixels: onnx_ir.Value, spec: InputSpec) -> onnx_ir.Value:
        """``InputSpec.normalize``."""
        import onnx_ir

        if spec.dtype == "uint8":
            return self.add("Cast", pixels, to=onnx_ir.DataType.UINT8)
        mean, std = (np.array(one, np.float32).reshape(1, -1, 1, 1) for one in (spec.mean, spec.std))
        return self.add("Div", self.add("Sub", self.add("Div", pixels, np.float32(255)), mean), std)
