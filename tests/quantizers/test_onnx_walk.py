"""Node by node gives what the whole graph gives, and what is changed on the way is read."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.quantizers._onnx_walk import Walk
from pipeline.quantizers.onnx_file import as_written

X_NCHW = np.random.default_rng(0).normal(size=(5, 2, 3, 3)).astype("float32")


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """Two outputs of one node, a computed constant, an input that is left out, a value that is read twice."""
    nodes = [
        helper.make_node("Split", ["x"], ["left", "right"], "split", axis=1, num_outputs=2),
        helper.make_node("Neg", ["factor"], ["negative"], "negative"),
        helper.make_node("Mul", ["left", "negative"], ["scaled"], "scaled"),
        helper.make_node("Clip", ["scaled", "", "most"], ["clipped"], "clipped"),
        helper.make_node("Add", ["clipped", "right"], ["sum"], "sum"),
        helper.make_node("Mul", ["sum", "scaled"], ["product"], "product"),
        helper.make_node("Flatten", ["product"], ["y"], "y"),
    ]
    constants = {"factor": np.float32(2), "most": np.float32(0.5)}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 2, 3, 3))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 9))],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_it_gives_what_the_graph_gives(model: onnx.ModelProto) -> None:
    walk = Walk(model, X_NCHW)
    for node in walk.nodes():
        walk.compute(node)
    np.testing.assert_allclose(np.concatenate(walk.values["y"]), as_written(model, X_NCHW), rtol=1e-6)
    assert walk.constants["negative"] == -2


def test_only_what_is_still_to_be_read_is_kept(model: onnx.ModelProto) -> None:
    walk, most = Walk(model, X_NCHW), 0
    for node in walk.nodes():
        walk.compute(node)
        most = max(most, len(walk.values))
    assert most <= 4
    assert set(walk.values) == {"y"}


def test_what_is_changed_is_read(model: onnx.ModelProto) -> None:
    walk = Walk(model, X_NCHW)
    for node in walk.nodes():
        walk.compute(node)
        if node.name == "sum":
            walk.values["sum"] = [0 * array for array in walk.values["sum"]]
    assert not np.concatenate(walk.values["y"]).any()


def test_constants_can_be_replaced_for_one_answer(model: onnx.ModelProto) -> None:
    walk = Walk(model, X_NCHW)
    for node in walk.nodes():
        walk.compute(node)
        if node.name == "scaled":
            [found] = walk.answers(node, {"negative": np.float32(1)})
            np.testing.assert_allclose(np.concatenate(found), X_NCHW[:, :1])
            assert walk.constants["negative"] == -2
