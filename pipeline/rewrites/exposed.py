"""Every operator's result -> an output of the graph too, to be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.rewrites._match import DEQUANTIZE, DYNAMIC, PRODUCT, QUANTIZE
from pipeline.rewrites.float_product import scaled

if TYPE_CHECKING:
    import onnx_ir


def exposed(model: onnx_ir.Model) -> dict[str, str]:
    """Add the outputs in place.

    Returns:
        the operator's name by the name of what it gives, or of the first that it gives; what only quantizes
        and dequantizes is left out.
    """
    graph, names = model.graph, dict[str, str]()
    for node in graph:
        value = _result(node)
        if node.name and value is not None:
            names.setdefault(str(value.name), node.name)
            if not value.is_graph_output():
                graph.outputs.append(value)
    return names


def _result(node: onnx_ir.Node) -> onnx_ir.Value | None:
    """What the operator gives, in floats."""
    if node.op_type in (QUANTIZE, DEQUANTIZE, DYNAMIC):
        return None
    if node.op_type == PRODUCT:
        end = scaled(node)
        return None if end is None else end.outputs[0]
    return node.outputs[0]


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
