"""Small ONNX graphs, rewritten and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from pipeline.runtimes.onnx_runtime import EXACT

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"


def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    """A node of one output; the names of its inputs stand between blanks."""
    return helper.make_node(kind, inputs.split(), [output], name=f"node_{output}", **attributes)


def built(
    nodes: Sequence[onnx.NodeProto], constants: Mapping[str, Any], shape: Sequence[int], outputs: str = "y"
) -> onnx.ModelProto:
    """A checked model from x (float32, of that shape) to the outputs, with every shape known."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()],
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


def changed(rewrite: Callable[[onnx_ir.Model], onnx_ir.Model], model: onnx.ModelProto) -> onnx.ModelProto:
    """The model rewritten, without what nobody reads any more, and checked."""
    import onnx_ir.passes.common

    rewritten = rewrite(onnx_ir.from_proto(model))
    onnx_ir.passes.common.RemoveUnusedNodesPass()(rewritten)
    result = onnx_ir.to_proto(rewritten)
    onnx.checker.check_model(result, full_check=True)
    return result


def run(model: onnx.ModelProto, x: NDArray[np.float32], optimized: bool = True) -> NDArray[np.float32]:
    """The first output in ONNX Runtime; ``optimized`` with its integer kernels, that do not saturate."""
    try:
        return answer(model, x, optimized, (EXACT,) if optimized else ())
    except Fail:  # the option gives a DequantizeLinear that stays, and has no zero point, one that does not fit
        return answer(model, x, optimized, ())


def answer(
    model: onnx.ModelProto, x: NDArray[np.float32], optimized: bool, settings: Sequence[tuple[str, str]]
) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    for setting in settings:
        options.add_session_config_entry(*setting)
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def kinds(model: onnx.ModelProto) -> list[str]:
    return [one.op_type for one in model.graph.node]


def kernels(model: onnx.ModelProto, tmp_path: Any) -> list[str]:
    """What ONNX Runtime makes of the model."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "optimized.onnx"), 4
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return kinds(onnx.load(options.optimized_model_filepath))


class Builder:
    """A QDQ graph, layer by layer."""

    def __init__(self, seed: int) -> None:
        self.rng, self.nodes, self.constants = np.random.default_rng(seed), [], {"grid": np.uint8(128)}

    def rounded(self, name: str, scale: float = 0.05, zero: str = "grid") -> str:
        """The value behind QuantizeLinear and DequantizeLinear."""
        self.constants[f"{name}_scale"] = np.float32(scale)
        grid = f"{name}_scale {zero}"
        self.nodes += [
            node(QUANTIZE, f"{name} {grid}", f"{name}_q"),
            node(DEQUANTIZE, f"{name}_q {grid}", f"{name}_dq"),
        ]
        return f"{name}_dq"

    def convolution(self, source: str, name: str, inputs: int, outputs: int, kernel: int = 1, group: int = 1) -> str:
        shape = (outputs, inputs // group, kernel, kernel)
        self.constants |= {
            f"{name}_w": self.rng.integers(-127, 128, shape).astype(np.int8),
            f"{name}_v": self.rng.uniform(0.001, 0.01, outputs).astype(np.float32),
            f"{name}_z": np.zeros(outputs, np.int8),
            f"{name}_b": self.rng.normal(size=outputs).astype(np.float32),
        }
        self.nodes += [
            node(DEQUANTIZE, f"{name}_w {name}_v {name}_z", f"{name}_weight", axis=0),
            node("Conv", f"{source} {name}_weight {name}_b", name, pads=[kernel // 2] * 4, group=group),
        ]
        return name


def residual(width: int = 24, seed: int = 0, gate: bool = True, outputs: str = "y") -> onnx.ModelProto:
    """An inverted residual with hard swish and squeeze-excite around a depthwise convolution."""
    net = Builder(seed)
    net.constants["none"] = np.uint8(0)
    image = net.rounded("x")
    wide = net.rounded(net.convolution(image, "wide", 8, width))
    net.nodes += [node("HardSigmoid", wide, "gate", alpha=1 / 6, beta=0.5)]
    net.nodes += [node("Mul", f"{wide} {net.rounded('gate', 1 / 255, 'none')}", "swish")]
    deep = net.rounded(net.convolution(net.rounded("swish"), "deep", width, width, 3, width))
    if gate:
        net.nodes += [node("GlobalAveragePool", deep, "mean")]
        squeezed = net.rounded(net.convolution(net.rounded("mean"), "squeezed", width, 4))
        excited = net.rounded(net.convolution(squeezed, "excited", 4, width))
        net.nodes += [node("Mul", f"{deep} {excited}", "product")]
        deep = net.rounded("product")
    narrow = net.rounded(net.convolution(deep, "narrow", width, 8))
    net.nodes += [node("Add", f"{image} {narrow}", "sum")]
    net.nodes += [node("Identity", net.rounded("sum"), "y")]
    return built(net.nodes, net.constants, [1, 8, 6, 5], outputs)
