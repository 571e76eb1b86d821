"""A padding between equal quantizations becomes the convolution's own, bit for bit; others are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from pipeline.rewrites.padded_convolution import padded_convolution

MARGINS = (0, 0, 0, 0, 0, 0, 1, 1)


def graph(margins: tuple[int, ...] = MARGINS, **changes: Any) -> onnx.ModelProto:
    """x -> Q -> DQ -> Pad -> Q -> DQ -> Conv -> y, changed in one place."""
    value, scale_after, mode = (
        changes.get("value", 0.0),
        changes.get("scale_after", 0.05),
        changes.get("mode", "constant"),
    )
    rng = np.random.default_rng(0)
    constants = {
        "scale": np.float32(0.05),
        "scale_after": np.float32(scale_after),
        "zero": np.uint8(100),
        "margins": np.array(margins),
        "value": np.float32(value),
        "weight": rng.normal(size=(3, 2, 3, 3)).astype(np.float32),
    }
    after = ["scale_after", "zero"]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["a"]),
        helper.make_node("DequantizeLinear", ["a", "scale", "zero"], ["b"]),
        helper.make_node("Pad", ["b", "margins", "value"], ["c"], mode=mode),
        helper.make_node("QuantizeLinear", ["c", *after], ["d"]),
        helper.make_node("DequantizeLinear", ["d", *after], ["e"]),
        helper.make_node("Conv", ["e", "weight"], ["y"], pads=changes.get("pads", [0] * 4), strides=[2, 2]),
    ]
    answers = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    if changes.get("also"):
        nodes.append(helper.make_node("Neg", [changes["also"]], ["z"]))
        answers.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    return helper.make_model(
        helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 8, 6])],
            answers,
            [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )


def rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx_ir.to_proto(padded_convolution(onnx_ir.from_proto(model)))


def run(model: onnx.ModelProto) -> np.ndarray:
    x = np.random.default_rng(1).normal(size=(1, 2, 8, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": x})[0]


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@given(margins=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_equal(margins: list[int]) -> None:
    before = graph((0, 0, *margins[:2], 0, 0, *margins[2:]))
    after = rewritten(before)
    assert kinds(after) == ["QuantizeLinear", "DequantizeLinear", "Conv"]
    np.testing.assert_allclose(run(after), run(before), atol=1e-5)


@pytest.mark.parametrize(
    "other",
    [
        graph(value=1.0),
        graph(mode="edge"),
        graph(scale_after=0.1),
        graph((0, 0, 0, -1, 0, 1, 1, 1)),
        graph(pads=[1, 1, 1, 1]),
        graph(also="c"),
        graph(also="e"),
    ],
    ids=["ones", "edge", "another scale", "channels", "pads itself", "padding is read", "another reader"],
)
def test_others_are_left_alone(other: onnx.ModelProto) -> None:
    assert kinds(rewritten(other)) == kinds(other)
