"""ReduceMean over height and width -> GlobalAveragePool, and Flatten where the two are dropped.

Matches ``ReduceMean`` of a rank-4 tensor over axes 2 and 3, named by attribute or by constant input, and
makes ``GlobalAveragePool(x)``, which is the same mean by definition. ONNX Runtime has an integer
kernel for it and none for ReduceMean, so an int8 graph loses its float island there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.rewrites._match import constant

if TYPE_CHECKING:
    import onnx_ir


def global_average_pool(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    import onnx_ir

    for node in list(model.graph):
        if node.op_type == "ReduceMean" and _over_height_and_width(node):
            pool = onnx_ir.node("GlobalAveragePool", [node.inputs[0]], name=node.name)
            made = [pool] if _keeps_dimensions(node) else [pool, onnx_ir.node("Flatten", [pool.outputs[0]])]
            old, new = node.outputs[0], made[-1].outputs[0]
            new.name, new.shape, new.type = old.name, old.shape, old.type
            onnx_ir.convenience.replace_nodes_and_values(model.graph, node, [node], made, [old], [new])
    return model


def _keeps_dimensions(node: onnx_ir.Node) -> bool:
    keepdims = node.attributes.get("keepdims")
    return keepdims is None or keepdims.as_int() == 1


def _over_height_and_width(node: onnx_ir.Node) -> bool:
    data = node.inputs[0]
    if data is None or data.shape is None or len(data.shape) != 4:
        return False
    return sorted(axis % 4 for axis in _axes(node)) == [2, 3]


def _axes(node: onnx_ir.Node) -> list[int]:
    """What it reduces; none where that is computed or left out, which means all."""
    attribute = node.attributes.get("axes")  # before operator set 18
    if attribute is not None:
        return list(attribute.as_ints())
    axes = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return [] if axes is None else [int(axis) for axis in axes]
