"""ReduceMean over height and width -> GlobalAveragePool.

Matches ``ReduceMean(x, axes=[2, 3] or [-2, -1], keepdims=1)`` of a rank-4 tensor and makes
``GlobalAveragePool(x)``, which is the same mean by definition. ONNX Runtime has an integer
kernel for it and none for ReduceMean, so an int8 graph loses its float island there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir


def global_average_pool(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    import onnx_ir

    for node in list(model.graph):
        if node.op_type == "ReduceMean" and _over_height_and_width(node):
            pool = onnx_ir.node("GlobalAveragePool", [node.inputs[0]], name=node.name)
            old, new = node.outputs[0], pool.outputs[0]
            new.name, new.shape, new.type = old.name, old.shape, old.type
            onnx_ir.convenience.replace_nodes_and_values(model.graph, node, [node], [pool], [old], [new])
    return model


def _over_height_and_width(node: onnx_ir.Node) -> bool:
    data, axes = node.inputs[0], node.inputs[1] if len(node.inputs) > 1 else None
    if data is None or data.shape is None or len(data.shape) != 4 or axes is None:
        return False
    keepdims = node.attributes.get("keepdims")
    constant = axes.const_value
    if constant is None or (keepdims is not None and keepdims.as_int() != 1):
        return False
    return sorted(int(axis) % 4 for axis in constant.numpy()) == [2, 3]
