"""Somebody's float ONNX file into an int8 one, without the network that it came from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import UsageError
from pipeline.hush import hushed

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from pipeline.quantizers._ranges import Bounds, Method

# Functions of one number: 256 answers are all there are.
CURVES = ("HardSigmoid", "Sigmoid", "LeakyRelu")
# What ONNX Runtime has an integer kernel for, and what passes integers on.
COMPUTING = ("Conv", "Gemm", "MatMul", "Add", "Mul", "GlobalAveragePool", "AveragePool", "Concat", *CURVES)
MOVING = ("MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Pad", "Resize", "Split", "Slice")
PASSING = ("Relu", "Clip", *MOVING)
LOWEST_SWISH = -3.0  # below it a hard swish gives 0
LEAST_RANGE = 1e-6  # of a constant tensor
SAME = 1e-6  # a sixth as float32


class Left(NamedTuple):
    """A node that stays float."""

    name: str
    operator: str


def simplified(model: onnx.ModelProto, shape: tuple[int, ...]) -> onnx.ModelProto:
    """The same function for one image: constants and BatchNorm folded, hard swish spelled out, all shapes known."""
    import onnx
    import onnx_ir
    import onnxruntime

    from pipeline.quantizers.onnx_read import one_image
    from pipeline.rewrites.batch_norm import batch_norm
    from pipeline.rewrites.global_average_pool import global_average_pool
    from pipeline.rewrites.hard_swish import hard_swish

    one_image(model, shape)
    with tempfile.TemporaryDirectory() as folder:
        options, path = onnxruntime.SessionOptions(), str(Path(folder) / "simplified.onnx")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath, options.log_severity_level = path, 4
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        inferred = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    spelled = onnx_ir.to_proto(hard_swish(global_average_pool(batch_norm(onnx_ir.from_proto(inferred)))))
    for node in spelled.graph.node:
        node.name = node.name or node.output[0]  # by which profiles and lists tell operators apart
    return onnx.shape_inference.infer_shapes(spelled)


def measured_ranges(
    model: onnx.ModelProto, batches_NCHW: Iterable[NDArray[np.float32]], method: Method
) -> dict[str, Bounds]:
    """The range of every float tensor, from images that are seen once.

    Raises:
        UsageError: there is no image.
        StageFailed: a value is NaN or infinite.
    """
    import onnx
    import torch

    from pipeline.quantizers._ranges import METHODS

    open_model = onnx.ModelProto()
    open_model.CopyFrom(model)
    names = _float_tensors(model)
    shown = {output.name for output in model.graph.output}
    open_model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in shown)
    session = opened(open_model)
    name, images = model.graph.input[0].name, 0
    ranges = {tensor: METHODS[method]() for tensor in [name, *names]}
    makers = {output: f"{node.name or output} ({node.op_type})" for node in model.graph.node for output in node.output}
    for batch_NCHW in batches_NCHW:
        for x_NCHW in batch_NCHW[:, None]:
            found = dict(zip(names, session.run(names, {name: x_NCHW}), strict=True))
            for tensor, values in {name: x_NCHW, **found}.items():
                ranges[tensor].watch(torch.from_numpy(values), makers.get(tensor, "the input"))
            images += 1
    if not images:
        raise UsageError("there are no calibration images", "give a folder with images")
    return _narrowed(model, {tensor: watched.bounds() for tensor, watched in ranges.items()})


def _float_tensors(model: onnx.ModelProto) -> list[str]:
    """What nodes compute in float32, as far as shape inference could tell."""
    from onnx import TensorProto

    known = {info.name: info.type.tensor_type.elem_type for info in [*model.graph.value_info, *model.graph.output]}
    made = [name for node in model.graph.node for name in node.output if name and node.op_type != "Constant"]
    return [name for name in made if known.get(name) == TensorProto.FLOAT]


def _narrowed(model: onnx.ModelProto, ranges: Mapping[str, Bounds]) -> dict[str, Bounds]:
    """Ranges no wider than what their readers can tell apart; a gate covers 0 to 1 exactly."""
    narrowed = dict(ranges)
    readers: dict[str, list[Any]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for gate in (node for node in model.graph.node if node.op_type == "HardSigmoid"):
        source, products = gate.input[0], {id(node) for node in readers.get(gate.output[0], [])}
        others = {id(node) for node in readers[source]} - {id(gate)}
        narrowed[gate.output[0]] = 0.0, 1.0
        if others and others <= products:
            narrowed[source] = max(ranges[source][0], LOWEST_SWISH), ranges[source][1]
        elif not others and _is_standard(gate):
            # As in _annotation: the gate's integers are those before it.
            narrowed[source], narrowed[gate.output[0]] = (-3.0, -3.0 + 6 * 255 / 256), (0.0, 255 / 256)
    return {name: (low, max(high, low + LEAST_RANGE)) for name, (low, high) in narrowed.items()}


def _is_standard(gate: onnx.NodeProto) -> bool:
    """clip(x/6 + ½, 0, 1), PyTorch's."""
    found = {attribute.name: float(attribute.f) for attribute in gate.attribute}
    return abs(found.get("alpha", 0.2) - 1 / 6) < SAME and abs(found.get("beta", 0.5) - 1 / 2) < SAME


def with_pairs(
    model: onnx.ModelProto, ranges: Mapping[str, Bounds], portable: bool, floats: Sequence[str] = ()
) -> onnx.ModelProto:
    """The graph with these ranges, a pair of QuantizeLinear and DequantizeLinear at every int8 tensor but the logits.

    Args:
        model: is left as it is. portable: weights on which no processor saturates.
        floats: names of nodes that stay float.
    """
    import numpy as np
    import onnx
    import onnx_ir

    from pipeline.quantizers.onnx_pairs import pair_steps
    from pipeline.rewrites.float_logits import float_logits

    copy = onnx.ModelProto()
    copy.CopyFrom(model)  # the quantizer works on what it is given
    with hushed():
        from onnxruntime.quantization import CalibrationMethod, QuantType
        from onnxruntime.quantization.calibrate import TensorsData
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        found = {name: (np.float32(low), np.float32(high)) for name, (low, high) in ranges.items()}
        quantizer = QDQQuantizer(
            copy,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=TensorsData(CalibrationMethod.MinMax, found),
            nodes_to_quantize=[],
            nodes_to_exclude=[*floats],
            op_types_to_quantize=[*COMPUTING, *PASSING],
            extra_options={
                "WeightSymmetric": True,
                "ForceQuantizeNoInputCheck": True,
                "TensorQuantOverrides": pair_steps(model) if portable else {},
            },
        )
        quantizer.quantize_model()
    shaped = onnx.shape_inference.infer_shapes(quantizer.model.model)
    paired = float_logits(onnx_ir.from_proto(shaped))
    paired.graph.sort()
    return onnx_ir.to_proto(paired)


def integer_file(paired: onnx.ModelProto, amx: bool = False) -> onnx.ModelProto:
    """The graph for integer kernels, by our rewrites, of what ``with_pairs`` gives.

    Args:
        amx: for processors with AMX; see ``matrix_convolution``.
    """
    import onnx_ir

    from pipeline.rewrites.all import rewritten

    return onnx_ir.to_proto(rewritten(onnx_ir.from_proto(paired), amx))


def opened(model: onnx.ModelProto, optimized: bool = True) -> Any:
    """ONNX Runtime's session of a graph, on the processor, which says nothing."""
    import onnxruntime

    options, levels = onnxruntime.SessionOptions(), onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def as_written(model: onnx.ModelProto, x_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """Its answers (N, K), one image a call, each node computed as it is written.

    Raises:
        UsageError: it does not answer, or not with a row of numbers an image.
    """
    import numpy as np

    try:
        session = opened(model, optimized=False)
        name = model.graph.input[0].name
        found = [session.run(None, {name: x_NCHW[i : i + 1]})[0] for i in range(len(x_NCHW))]
    except Exception as error:  # whatever ONNX Runtime finds wrong with it
        why = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UsageError(f"the file does not answer to one image of {x_NCHW.shape[1:]}: {why[:200]}") from error
    if found[0].ndim != 2 or len(found[0]) != 1:
        raise UsageError(f"the file gives {found[0].shape} for one image; a classifier gives 1×K, K numbers")
    answers_NK: NDArray[np.float32] = np.concatenate(found)
    return answers_NK


def left_float(model: onnx.ModelProto) -> tuple[Left, ...]:
    """Nodes of an int8 graph that compute with floats."""
    constants = {value.name for value in model.graph.initializer}
    known = {*COMPUTING, *PASSING, "Expand", "QuantizeLinear", "DequantizeLinear"}  # Expand: see ``narrow_gate``
    rounded = {node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    return tuple(
        Left(node.name or node.output[0], node.op_type)
        for node in model.graph.node
        if node.op_type not in known
        and not constants.issuperset(node.input)
        and not (node.op_type == "Softmax" and node.output[0] in rounded)  # at the end of a network it is float
    )
