"""Every operator's result -> an output of the graph too, to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.rewrites._match import DEQUANTIZE, QUANTIZE

if TYPE_CHECKING:
    import onnx_ir


def exposed(model: onnx_ir.Model) -> dict[str, str]:
    """Add the outputs in place.

    Returns:
        the operator's name by the name of what it gives; QuantizeLinear and DequantizeLinear are left out.
    """
    graph, names = model.graph, {}
    for node in graph:
        if node.name and node.op_type not in (QUANTIZE, DEQUANTIZE):
            [value] = node.outputs
            names[str(value.name)] = node.name
            if not value.is_graph_output():
                graph.outputs.append(value)
    return names


def write_exposed(path: Path, to: Path) -> dict[str, str]:
    """The same for a file; values of unknown type stay hidden."""
    import onnx
    import onnx_ir

    model = onnx_ir.from_proto(onnx.shape_inference.infer_shapes(onnx.load(path)))
    names = exposed(model)
    known = [value for value in model.graph.outputs if value.type is not None]
    model.graph.outputs.clear()
    model.graph.outputs.extend(known)
    onnx_ir.save(model, to)
    return names
