"""A network of one input and one output, whatever they are called -> ``input`` and ``logits``, as ours are called.

Programs that take a file out of a bundle know these two names. Nothing else changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx
    import onnx_ir

INPUT, OUTPUT = "input", "logits"


def port_names(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rename in place, and give the model back."""
    graph = model.graph
    for port, name in ((graph.inputs[0], INPUT), (graph.outputs[0], OUTPUT)):
        if port.name != name:
            for other in (*graph.inputs, *(value for node in graph for value in node.outputs)):
                if other.name == name:
                    other.name = f"{name}_inside"
            if name in graph.initializers:
                moved = graph.initializers.pop(name)
                moved.name = f"{name}_inside"
                graph.register_initializer(moved)
            port.name = name
    return model


def with_port_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same of a file's content; ``model`` is left as it is."""
    import onnx
    import onnx_ir

    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # constants are shared with what they are read from
    renamed: onnx.ModelProto = onnx_ir.to_proto(port_names(onnx_ir.from_proto(copy)))
    return renamed
