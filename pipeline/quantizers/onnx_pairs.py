"""Steps of an ONNX file's weights on which no processor saturates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def pair_steps(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """For each weight that outputs are multiplied with, one entry an output, as ONNX Runtime's quantizer takes them.

    The scales are ``PostTraining``'s own for ``portable``; see ``_annotation.PairRange``.
    """
    import numpy as np
    import torch
    from onnx import numpy_helper

    from pipeline.quantizers._annotation import weight_steps

    constants = {constant.name: constant for constant in model.graph.initializer}
    steps = {}
    for name, axis in _weights(model):
        if name in constants:
            outputs_first = np.moveaxis(numpy_helper.to_array(constants[name]), axis, 0)
            scale_K = weight_steps(torch.from_numpy(outputs_first.copy()), portable=True)
            steps[name] = [{"axis": axis, "scale": float(scale), "zero_point": 0} for scale in scale_K]
    return steps


def _weights(model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
    """The second factor of every convolution and product, and where its outputs are counted."""
    from pipeline.quantizers._onnx_layers import WEIGHTED, outputs_axis

    for node in model.graph.node:
        if node.op_type in WEIGHTED:
            yield node.input[1], outputs_axis(node)
