"""What an ONNX file's float graph costs: learned numbers and multiply-accumulates. Nothing is changed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import onnx

    Shapes = dict[str, tuple[int, ...]]


class Costs(NamedTuple):
    """Of one image.

    Attributes:
        params: numbers in weights, biases and normalizations. macs: of convolutions and products of matrices.
    """

    params: int
    macs: int


def costs(model: onnx.ModelProto) -> Costs:
    """Of a model whose input's shape is known; what has no known shape counts nothing."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model)
    shapes: Shapes = {value.name: tuple(value.dims) for value in inferred.graph.initializer}
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        shapes.setdefault(value.name, tuple(size.dim_value for size in value.type.tensor_type.shape.dim))
    learned = (value for value in inferred.graph.initializer if value.data_type == onnx.TensorProto.FLOAT)
    params = sum(math.prod(value.dims) for value in learned if value.dims)
    return Costs(params, sum(_macs(node, shapes) for node in inferred.graph.node))


def _macs(node: onnx.NodeProto, shapes: Shapes) -> int:
    """Outputs times what each is a sum of."""
    made, read = shapes.get(node.output[0], ()), [shapes.get(name, ()) for name in node.input]
    if node.op_type == "Conv" and len(read[1]) > 2:
        return math.prod(made) * math.prod(read[1][1:])
    if node.op_type == "Gemm" and len(read[0]) == 2:
        turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return math.prod(made) * read[0][0 if turned else 1]
    if node.op_type == "MatMul" and read[0]:
        return math.prod(made) * read[0][-1]
    return 0
