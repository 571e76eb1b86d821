"""HardSwish -> HardSigmoid, Mul.

Matches every ``HardSwish(x)`` and makes ``x · HardSigmoid(x)`` with α = 1/6 and β = ½, which is its
definition. For a float graph that is to be quantized: integer kernels exist for the two, not for the one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir


def hard_swish(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    import onnx_ir

    for node in list(model.graph):
        if node.op_type == "HardSwish":
            gate = onnx_ir.node("HardSigmoid", [node.inputs[0]], attributes={"alpha": 1 / 6, "beta": 0.5})
            product = onnx_ir.node("Mul", [node.inputs[0], gate.outputs[0]], name=node.name)
            old, new, between = node.outputs[0], product.outputs[0], gate.outputs[0]
            between.name = f"{old.name}_gate"
            new.name = old.name
            for value in (new, between):
                value.shape, value.type = old.shape, old.type
            onnx_ir.convenience.replace_nodes_and_values(model.graph, node, [node], [gate, product], [old], [new])
    return model
