"""Conv or Gemm with a float weight behind DequantizeLinear -> the same scale once for each channel.

Matches a layer that was left float on purpose, where its input is dequantized by one scale. ONNX Runtime
would take it for one that somebody forgot: between DequantizeLinear and QuantizeLinear it rounds a float
weight to int8 by itself, with one scale for all outputs, which is worse than what the layer was spared. It
does not where the input has a scale for each channel. They are all equal, so the answers are those of the
file as it is written, bit for bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.rewrites._match import DEQUANTIZE, add_constant, constant, grid, maker

if TYPE_CHECKING:
    import onnx_ir
    from numpy.typing import NDArray


def kept_float(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    import onnx_ir

    for node in list(model.graph):
        dequantize, channels = maker(node.inputs[0], DEQUANTIZE) if node.inputs else None, _channels(node)
        if dequantize is None or grid(dequantize) is None or channels < 2:
            continue
        name = f"{node.outputs[0].name}_reads"
        numbers = [constant(value) for value in dequantize.inputs[1:]]
        repeated = [
            add_constant(model.graph, f"{name}_{kind}", np.full(channels, array.reshape(()), array.dtype))
            for kind, array in zip(("scale", "zero"), numbers, strict=False)
            if array is not None
        ]
        apart = onnx_ir.node(DEQUANTIZE, [dequantize.inputs[0], *repeated], attributes={"axis": 1})
        model.graph.insert_before(node, apart)
        node.replace_input_with(0, apart.outputs[0])
    return model


def _channels(node: onnx_ir.Node) -> int:
    """How many a layer with a float weight reads; 0 for other nodes."""
    weight: NDArray[np.generic] | None = constant(node.inputs[1]) if node.op_type in ("Conv", "Gemm") else None
    if weight is None or weight.dtype != np.float32:
        return 0
    attributes = {
        name: attribute.as_int() for name, attribute in node.attributes.items() if name in ("group", "transB")
    }
    if node.op_type == "Conv":
        return int(weight.shape[1]) * attributes.get("group", 1)
    return int(weight.shape[1 if attributes.get("transB", 0) else 0])
