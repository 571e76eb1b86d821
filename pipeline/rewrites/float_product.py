"""MatMulInteger of what was quantized at run time, and the scale behind it -> MatMul of floats.

Matches ``Mul(Cast(MatMulInteger(q, w, z)), Mul(s, t))`` in which q, s and z are what DynamicQuantizeLinear
makes of a value, and w and t are constants, and makes ``MatMul(value, t·w)``: the product that the integers
round. For the float twin of a dynamically quantized file, ours or another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.rewrites._match import DYNAMIC, add_constant, constant, maker, only_user

if TYPE_CHECKING:
    import onnx_ir
    from numpy.typing import NDArray


def scaled(product: onnx_ir.Node) -> onnx_ir.Node | None:
    """The Mul that makes floats of a MatMulInteger's sums; None where they are used otherwise."""
    cast = only_user(product, "Cast")
    return only_user(cast, "Mul") if cast is not None else None


def float_product(graph: onnx_ir.Graph, product: onnx_ir.Node) -> None:
    """Rewrite one MatMulInteger in place, if it matches."""
    import onnx_ir

    quantize, end = maker(product.inputs[0], DYNAMIC), scaled(product)
    weight_FK = _weight(product, end) if end is not None else None
    if quantize is None or end is None or weight_FK is None:
        return
    weight = add_constant(graph, f"{end.outputs[0].name}_weight", weight_FK)
    floats = onnx_ir.node("MatMul", [quantize.inputs[0], weight], name=product.name)
    old, new = end.outputs[0], floats.outputs[0]
    new.name, new.shape, new.type = old.name, old.shape, old.type
    onnx_ir.convenience.replace_nodes_and_values(graph, end, [end], [floats], [old], [new])


def _weight(product: onnx_ir.Node, end: onnx_ir.Node) -> NDArray[np.float32] | None:
    """The floats that the weight's integers stand for."""
    scales = [factor for value in end.inputs if (factor := maker(value, "Mul")) is not None]
    steps = [found for value in scales[0].inputs if (found := constant(value)) is not None] if scales else []
    integers = constant(product.inputs[1])
    zero = constant(product.inputs[3]) if len(product.inputs) > 3 else np.zeros((), np.int8)
    if integers is None or zero is None or not steps:
        return None
    floats: NDArray[np.float32] = ((integers.astype(np.int64) - zero.astype(np.int64)) * steps[0]).astype(np.float32)
    return floats
