"""What the weighted nodes of an ONNX graph do with their inputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import onnx

from pipeline.quantizers._reconstruction import Sliding

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

WEIGHTED = ("Conv", "Gemm", "MatMul")


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """By name."""
    return {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}


def is_flat(model: onnx.ModelProto) -> bool:
    """No node holds a graph of its own, which reads more than the node's inputs."""
    kinds = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)
    return not any(one.type in kinds for node in model.graph.node for one in node.attribute)


def is_plain(node: onnx.NodeProto) -> bool:
    """It multiplies with its weight, and adds its bias, once, and as they are."""
    given = attributes(node)
    return given.get("alpha", 1) == given.get("beta", 1) == 1 and not given.get("transA", 0)


def outputs_axis(node: onnx.NodeProto) -> int:
    """Where the weight counts the node's outputs."""
    if node.op_type == "Conv" or attributes(node).get("transB", 0):
        return 0
    return 1 if node.op_type == "Gemm" else -1


def channel_means(node: onnx.NodeProto, found: list[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Mean over images and places of each of the node's outputs: (K,)."""
    import numpy as np

    axis = 1 if node.op_type == "Conv" else -1
    rows = [np.moveaxis(y, axis, 0).reshape(y.shape[axis], -1).mean(1, dtype=np.float64) for y in found]
    means: NDArray[np.float64] = np.mean(rows, axis=0)
    return means


def sliding_of(convolution: onnx.NodeProto) -> Sliding:
    """Of its padded image."""
    given = attributes(convolution)
    ones = [1, 1]
    return Sliding(given.get("strides", ones), 0, given.get("dilations", ones), given.get("group", 1))


def padded(x_NCHW: torch.Tensor, node: onnx.NodeProto, weight: tuple[int, ...]) -> torch.Tensor:
    """What the kernel of a convolution slides over; of other nodes, what they read.

    Args:
        weight: its shape, (K, C, height, width).
    """
    import torch

    if node.op_type != "Conv":
        return x_NCHW
    (top, bottom), (left, right) = (_ends(node, axis, x_NCHW.shape[2 + axis], weight[2 + axis]) for axis in (0, 1))
    return torch.nn.functional.pad(x_NCHW, (left, right, top, bottom))


def _ends(node: onnx.NodeProto, axis: int, size: int, kernel: int) -> tuple[int, int]:
    """How many zeros are put before and behind an axis of the image."""
    given, (stride, dilation) = attributes(node), (sliding_of(node).stride[axis], sliding_of(node).dilation[axis])
    way = given.get("auto_pad", b"NOTSET").decode()
    if way in ("NOTSET", "VALID"):
        pads = given.get("pads", [0, 0, 0, 0])
        return pads[axis], pads[axis + 2]
    total = max((math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    less, more = total // 2, total - total // 2
    return (less, more) if way == "SAME_UPPER" else (more, less)
