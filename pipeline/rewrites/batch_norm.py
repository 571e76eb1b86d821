"""BatchNormalization -> other weights of the Gemm or MatMul before it, or a depthwise convolution of one by one.

Matches ``BatchNormalization(x)`` with constants, which is x · γ/σ + (β − μ·γ/σ) for each channel. Where x is what
a Gemm or MatMul with a constant weight gives to nobody else, its columns are scaled and its bias shifted; where
x is an image, a depthwise convolution computes it. Equal up to rounding of float32. For a float graph that is to
be quantized: there is no integer kernel for BatchNormalization, and a convolution whose channels have one weight
each has a grid for each, on which that weight lies exactly. (Those behind a convolution the runtime folds itself.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.rewrites._match import add_constant, constant, only_user

if TYPE_CHECKING:
    import onnx_ir
    from numpy.typing import NDArray

IMAGE_RANK = 4


def batch_norm(model: onnx_ir.Model) -> onnx_ir.Model:
    """Rewrite every match in place, and give the model back."""
    import onnx_ir

    for norm in list(model.graph):
        found = _affine(norm) if norm.op_type == "BatchNormalization" else None
        if found is None:
            continue
        layer = _linear_before(norm)
        made = _convolution(model.graph, norm, found) if layer is None else _scaled(model.graph, layer, norm, found)
        if made is not None:
            old, new, gone = norm.outputs[0], made.outputs[0], [norm] if layer is None else [norm, layer]
            new.name, new.shape, new.type = old.name, old.shape, old.type
            onnx_ir.convenience.replace_nodes_and_values(model.graph, norm, gone, [made], [old], [new])
    return model


def _affine(norm: onnx_ir.Node) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Factor and shift of each channel; None where one is computed, or it is that of training."""
    constants = [constant(value) for value in norm.inputs[1:5]]
    training, epsilon = norm.attributes.get("training_mode"), norm.attributes.get("epsilon")
    if any(found is None for found in constants) or (training is not None and training.as_int()):
        return None
    scale, bias, mean, variance = (found.astype(np.float64) for found in constants if found is not None)
    factor = scale / np.sqrt(variance + (1e-5 if epsilon is None else epsilon.as_float()))
    return factor, bias - mean * factor


def _linear_before(norm: onnx_ir.Node) -> onnx_ir.Node | None:
    """The Gemm or MatMul that gives it rows of features, and gives them to nobody else."""
    source = norm.inputs[0]
    node = source.producer() if source is not None else None
    rows = source is not None and source.shape is not None and len(source.shape) == 2
    linear = node is not None and node.op_type in ("Gemm", "MatMul") and only_user(node, norm.op_type) is not None
    return node if rows and linear else None


def _scaled(
    graph: onnx_ir.Graph, layer: onnx_ir.Node, norm: onnx_ir.Node, affine: tuple[NDArray[Any], NDArray[Any]]
) -> onnx_ir.Node | None:
    """A Gemm that gives what the layer and its normalization give."""
    import onnx_ir

    factor, shift = affine
    weight, attributes = constant(layer.inputs[1]), dict(layer.attributes)
    bias = constant(layer.inputs[2]) if len(layer.inputs) > 2 else np.zeros(1)
    beta = attributes.get("beta")
    if weight is None or bias is None or (beta is not None and beta.as_float() != 1):
        return None
    transposed = "transB" in attributes and attributes["transB"].as_int()
    name = str(norm.outputs[0].name)
    arrays = {"weight": weight * (factor[:, None] if transposed else factor), "bias": bias * factor + shift}
    values = [add_constant(graph, f"{name}_{key}", array.astype(np.float32)) for key, array in arrays.items()]
    return onnx_ir.node("Gemm", [layer.inputs[0], *values], attributes=attributes, name=layer.name)


def _convolution(
    graph: onnx_ir.Graph, norm: onnx_ir.Node, affine: tuple[NDArray[Any], NDArray[Any]]
) -> onnx_ir.Node | None:
    """One weight and one bias for each channel of an image."""
    import onnx_ir

    factor, shift = affine
    source, name = norm.inputs[0], str(norm.outputs[0].name)
    if source is None or source.shape is None or len(source.shape) != IMAGE_RANK:
        return None
    weight = add_constant(graph, f"{name}_weight", factor.astype(np.float32).reshape(-1, 1, 1, 1))
    bias = add_constant(graph, f"{name}_bias", shift.astype(np.float32))
    return onnx_ir.node("Conv", [source, weight, bias], attributes={"group": len(factor)}, name=norm.name)
