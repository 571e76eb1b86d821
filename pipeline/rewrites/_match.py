"""Questions that several rewrites ask of a graph, and constants that they add to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir
    from numpy.typing import NDArray

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
DYNAMIC, PRODUCT = "DynamicQuantizeLinear", "MatMulInteger"


def maker(value: onnx_ir.Value | None, kind: str) -> onnx_ir.Node | None:
    """The node of that kind that gives ``value``."""
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == kind else None


def only_user(node: onnx_ir.Node, kind: str) -> onnx_ir.Node | None:
    """The one node of that kind that reads what ``node`` gives."""
    users = list(node.outputs[0].consumers())
    only = len(users) == 1 and users[0].op_type == kind and not node.outputs[0].is_graph_output()
    return users[0] if only else None


def constant(value: onnx_ir.Value | None) -> NDArray[Any] | None:
    """Elements of a constant; None where it is left out or computed."""
    found = None if value is None else value.const_value
    return None if found is None else found.numpy()


def scalar(value: onnx_ir.Value | None) -> float | None:
    """The one element of a constant; None where there are more, or it is left out or computed."""
    found = constant(value)
    return float(found.reshape(-1)[0]) if found is not None and found.size == 1 else None


def grid(node: onnx_ir.Node) -> tuple[float, int] | None:
    """Scale and zero point of a QuantizeLinear or DequantizeLinear that has one of each, and constant."""
    scale = scalar(node.inputs[1])
    zero_point = scalar(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else 0
    return None if scale is None or zero_point is None else (scale, int(zero_point))


def dequantized(node: onnx_ir.Node) -> NDArray[np.float32] | None:
    """The constant that a DequantizeLinear gives; None where it is computed."""
    import numpy as np

    integers, scale = constant(node.inputs[0]), constant(node.inputs[1])
    if integers is None or scale is None:
        return None
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    shape = [1] * integers.ndim
    if scale.size > 1:
        axis = node.attributes.get("axis")
        shape[1 if axis is None else axis.as_int()] = scale.size
    offsets = 0 if zero is None else zero.astype(np.int64).reshape(shape if zero.size > 1 else ())
    factors = scale.reshape(shape if scale.size > 1 else ())
    floats: NDArray[np.float32] = ((integers.astype(np.int64) - offsets) * factors).astype(np.float32)
    return floats


def repeated_grid(node: onnx_ir.Node) -> tuple[float, int] | None:
    """As ``grid``, also where every channel has one of its own and all are equal, as ``kept_float`` makes them."""
    found = []
    for value in node.inputs[1:3]:
        array = constant(value)
        if array is None or not (array == array.reshape(-1)[0]).all():
            return None
        found.append(array.reshape(-1)[0])
    return float(found[0]), int(found[1]) if len(found) > 1 else 0


def groups(convolution: onnx_ir.Node) -> int:
    """Of its channels; 1 for a dense one."""
    group = convolution.attributes.get("group")
    return 1 if group is None else group.as_int()


def symmetric(weight: onnx_ir.Node) -> bool:
    """A DequantizeLinear of constant int8 with zero points of 0."""
    import numpy as np

    integers = constant(weight.inputs[0])
    zeros = [constant(zero) for zero in weight.inputs[2:] if zero is not None]
    return (
        integers is not None
        and integers.dtype == np.int8
        and all(zero is not None and not zero.any() for zero in zeros)
    )


def add_constant(graph: onnx_ir.Graph, name: str, array: NDArray[np.generic]) -> onnx_ir.Value:
    """An initializer of that name, or of a longer one where another value has it; equal ones are shared."""
    import numpy as np
    import onnx_ir

    while name in graph.initializers:
        found = constant(graph.initializers[name])
        if found is not None and found.dtype == array.dtype and np.array_equal(found, array):
            return graph.initializers[name]
        name += "_"
    tensor = onnx_ir.tensor(array, name=name)
    type_, shape = onnx_ir.TensorType(tensor.dtype), onnx_ir.Shape(array.shape)
    value = onnx_ir.Value(name=name, shape=shape, type=type_, const_value=tensor)
    graph.register_initializer(value)
    return value
