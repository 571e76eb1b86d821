"""An int8 ONNX graph, mended node by node until its nodes give what the float graph's do.

As ``_reconstruction`` does it for networks of PyTorch, and with its sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from pipeline.quantizers._onnx_layers import (
    WEIGHTED,
    channel_means,
    is_flat,
    is_plain,
    outputs_axis,
    padded,
    sliding_of,
)
from pipeline.quantizers._onnx_walk import Walk
from pipeline.quantizers._reconstruction import MOST_INPUTS, rounded, second_moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.quantizers._onnx_walk import Values

INT32 = np.iinfo(np.int32)


class Stored(NamedTuple):
    """A constant as integers: their initializer, and a scale for each of them or for each output."""

    integers: onnx.TensorProto
    scale: NDArray[np.float32]


def mended(
    written: onnx.ModelProto,
    exact: onnx.ModelProto,
    x_NCHW: NDArray[np.float32],
    rounding: bool = True,
    biases: bool = True,
    apart: bool = False,
) -> onnx.ModelProto:
    """Change the integers of weights and biases, in place, and give the graph back; one with loops stays as it is.

    Args:
        written: with a pair of QuantizeLinear and DequantizeLinear at every int8 tensor, and weighted nodes named as
            those of ``exact``.
        x_NCHW: normalized images; all are held in memory with one node's activations.
        rounding: each weight up or down so that its node's outputs change least. biases: take up the mean error left.
        apart: each node for itself, on what the float nodes before it give. What is found for one then does not
            depend on which others are rounded.
    """
    if not (rounding or biases) or not is_flat(exact):
        return written
    mender, walk = Mender(written, exact, rounding), Walk(exact if apart else written, x_NCHW)
    means = {} if apart or not biases else _means(exact, x_NCHW)
    for node in walk.nodes():
        ours = node.name in mender.nodes
        if apart or not ours:
            walk.compute(node)
        if not ours:
            continue
        found = mender.weight_mended(node, walk)
        if apart:  # the walk is the float graph's own
            means[node.name] = channel_means(node, walk.values[node.output[0]])
        shift_K = mender.bias_mended(node, found, means[node.name]) if biases else 0
        if not apart:
            walk.values[node.output[0]] = [y + _along(shift_K, node, y) for y in found]
    return written


class Mender:
    """The int8 graph's constants, next to those that they were rounded from.

    Attributes:
        nodes: of the int8 graph, by name: those whose weight is stored as integers, for them alone.
    """

    def __init__(self, written: onnx.ModelProto, exact: onnx.ModelProto, rounding: bool) -> None:
        self.rounding = rounding
        self._exact = {one.name: numpy_helper.to_array(one) for one in exact.graph.initializer}
        self._originals = {node.name: node for node in exact.graph.node}
        readers = Counter(name for node in written.graph.node for name in node.input)
        self._stored = _stored(written, readers)
        self._floats = {
            one.name: one
            for one in written.graph.initializer
            if one.data_type == onnx.TensorProto.FLOAT and readers[one.name] == 1
        }
        self.nodes = {node.name: node for node in written.graph.node if self._is_ours(node)}

    def _is_ours(self, node: onnx.NodeProto) -> bool:
        known = node.op_type in WEIGHTED and node.name in self._originals and node.input[1] in self._stored
        return known and is_plain(node) and self._originals[node.name].input[1] in self._exact

    def weight_mended(self, node: onnx.NodeProto, walk: Walk) -> Values:
        """Choose the weight's integers by what the node reads, and compute with them."""
        stored, axis = self._stored[self.nodes[node.name].input[1]], outputs_axis(node)
        if self.rounding:
            original = np.moveaxis(self._exact[self._originals[node.name].input[1]], axis, 0)
            x_NCHW = np.concatenate(walk.values[node.input[0]])
            steps = _steps(node, original, stored.scale, x_NCHW)
            if steps is not None:
                _store(stored.integers, np.moveaxis(steps, 0, axis))
        integers = np.moveaxis(numpy_helper.to_array(stored.integers), axis, 0)
        weight = integers.astype(np.float32) * stored.scale.reshape(-1, *[1] * (integers.ndim - 1))
        [found] = walk.answers(node, {node.input[1]: np.ascontiguousarray(np.moveaxis(weight, 0, axis))})
        return found

    def bias_mended(self, node: onnx.NodeProto, found: Values, mean_K: NDArray[np.float64]) -> Any:
        """Add to the bias what the node's mean outputs lack; what was added, for each output."""
        own, lacking_K = self.nodes[node.name], mean_K - channel_means(node, found)
        name = own.input[2] if len(own.input) > 2 else ""
        if name in self._stored:
            integers, scale = self._stored[name]
            before = numpy_helper.to_array(integers).astype(np.int64)
            added = np.rint(lacking_K / scale).astype(np.int64).reshape(before.shape)
            after = (before + added).clip(INT32.min, INT32.max)
            _store(integers, after)
            return ((after - before).reshape(-1) * scale).astype(np.float32)
        if name in self._floats and np.prod(self._floats[name].dims) == len(lacking_K):
            before = numpy_helper.to_array(self._floats[name])
            _store(self._floats[name], before + lacking_K.reshape(before.shape))
            return lacking_K.astype(np.float32)
        return np.float32(0)


def spared(written: onnx.ModelProto, exact: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """A copy in which one weighted node multiplies with its float weight, on the same rounded inputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(written)
    constants = {one.name: one for one in exact.graph.initializer}
    [own] = [node for node in copy.graph.node if node.name == name]
    [original] = [node for node in exact.graph.node if node.name == name]
    for place, read in enumerate(original.input):
        if place and read in constants:
            own.input[place] = f"{read}_exact"
            copy.graph.initializer.add().CopyFrom(constants[read])
            copy.graph.initializer[-1].name = own.input[place]
    return copy


def _stored(written: onnx.ModelProto, readers: Mapping[str, int]) -> dict[str, Stored]:
    """Constants that are integers and have one reader, by the name of what they are dequantized to."""
    constants = {one.name: one for one in written.graph.initializer}
    return {
        node.output[0]: Stored(constants[node.input[0]], numpy_helper.to_array(constants[node.input[1]]).reshape(-1))
        for node in written.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants and node.input[1] in constants
        if readers[node.input[0]] == 1 and readers[node.output[0]] == 1
    }


def _store(constant: onnx.TensorProto, array: NDArray[Any]) -> None:
    kind = onnx.helper.tensor_dtype_to_np_dtype(constant.data_type)
    constant.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array, kind), constant.name))


def _steps(
    node: onnx.NodeProto, weight: NDArray[np.float32], scale: NDArray[np.float32], x: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    """Whole numbers that the weight, outputs first, is rounded to; None where the node is none that we know."""
    if weight.ndim not in (2, 4) or weight[0].size > MOST_INPUTS:
        return None
    exact, scale_K = torch.from_numpy(weight.copy()), torch.from_numpy(np.broadcast_to(scale, len(weight)).copy())
    sliding = sliding_of(node) if node.op_type == "Conv" else None
    moments = second_moments(padded(torch.from_numpy(x), node, weight.shape), exact, sliding)
    chosen = rounded(exact, scale_K, moments) / scale_K.view(-1, *[1] * (weight.ndim - 1))
    steps: NDArray[np.float32] = chosen.round().numpy()
    return steps


def _means(exact: onnx.ModelProto, x_NCHW: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """The mean of every output of every weighted node, by the node's name."""
    walk, means = Walk(exact, x_NCHW), {}
    for node in walk.nodes():
        walk.compute(node)
        if node.op_type in WEIGHTED and node.output[0] in walk.values:
            means[node.name] = channel_means(node, walk.values[node.output[0]])
    return means


def _along(shift_K: Any, node: onnx.NodeProto, y: NDArray[np.float32]) -> Any:
    """So that it is added to each channel."""
    return shift_K.reshape(-1, *[1] * (y.ndim - 2)) if node.op_type == "Conv" and np.ndim(shift_K) else shift_K
