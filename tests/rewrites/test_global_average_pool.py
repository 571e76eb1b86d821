"""ReduceMean over height and width is GlobalAveragePool, bit for bit; other means are left alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from pipeline.rewrites.global_average_pool import global_average_pool


def graph(shape: list[int], axes: list[int] | None, keepdims: int = 1, after: str = "Neg") -> onnx.ModelProto:
    """x -> ReduceMean -> after; nothing comes after where ``after`` is empty."""
    constants = [] if axes is None else [helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes)]
    names = ["x"] if axes is None else ["x", "axes"]
    nodes = [helper.make_node("ReduceMean", names, ["y" if not after else "mean"], keepdims=keepdims)]
    nodes += [helper.make_node(after, ["mean"], ["y"])] if after else []
    given_ = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    answer = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    return helper.make_model(
        helper.make_graph(nodes, "g", given_, answer, constants),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )


def rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx_ir.to_proto(global_average_pool(onnx_ir.from_proto(model)))


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@given(
    shape=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    axes=st.sampled_from([[2, 3], [3, 2], [-1, -2], [-2, -1], [2, -1]]),
    after=st.sampled_from(["Neg", ""]),
    seed=st.integers(0, 99),
)
def test_equal(shape: list[int], axes: list[int], after: str, seed: int) -> None:
    before = graph(shape, axes, after=after)
    after_rewrite = rewritten(before)
    assert kinds(after_rewrite) == ["GlobalAveragePool", *([after] if after else [])]
    x = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(run(after_rewrite, x), run(before, x), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "axes", "keepdims"),
    [
        ([2, 3, 4, 5], [1, 2], 1),
        ([2, 3, 4, 5], [1], 1),
        ([2, 3, 4, 5], [3], 1),
        ([2, 3, 4, 5], [1, 2, 3], 1),
        ([2, 3, 4, 5], None, 1),
        ([2, 3, 4], [1, 2], 1),
        ([2, 3, 4, 5, 6], [2, 3], 1),
    ],
)
def test_other_means_are_left_alone(shape: list[int], axes: list[int] | None, keepdims: int) -> None:
    before = graph(shape, axes, keepdims)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    after = rewritten(before)
    assert kinds(after) == ["ReduceMean", "Neg"]
    assert np.array_equal(run(after, x), run(before, x))


def test_axes_that_are_computed_are_left_alone() -> None:
    model = graph([2, 3, 4, 5], [2, 3])
    del model.graph.initializer[:]
    model.graph.input.append(helper.make_tensor_value_info("axes", TensorProto.INT64, [2]))
    assert kinds(rewritten(model)) == ["ReduceMean", "Neg"]


def test_a_mean_that_drops_height_and_width_is_flattened() -> None:
    before = graph([2, 3, 4, 5], [2, 3], keepdims=0)
    after = rewritten(before)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    assert kinds(after) == ["GlobalAveragePool", "Flatten", "Neg"]
    np.testing.assert_allclose(run(after, x), run(before, x), atol=1e-6)


def test_axes_of_older_files_are_an_attribute() -> None:
    model = graph([2, 3, 4, 5], None)
    model.opset_import[0].version = 13
    model.graph.node[0].attribute.append(helper.make_attribute("axes", [2, 3]))
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    assert kinds(rewritten(model)) == ["GlobalAveragePool", "Neg"]
    np.testing.assert_allclose(run(rewritten(model), x), run(model, x), atol=1e-6)
