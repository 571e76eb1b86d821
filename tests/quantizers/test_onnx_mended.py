"""Mended int8 graphs are nearer to the float ones, in every kind of node, and differ by steps alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional as F

from pipeline.exporters.onnx import write_module
from pipeline.quantizers._onnx_layers import padded, sliding_of
from pipeline.quantizers._onnx_mended import mended, spared
from pipeline.quantizers.onnx_file import as_written, integer_file, measured_ranges, simplified, with_pairs

SHAPE = (3, 12, 12)
Pair = tuple[onnx.ModelProto, onnx.ModelProto]


class Net(nn.Module):
    """Dense, depthwise and strided convolutions, a clamp, a product and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, 2, padding=1, groups=16)
        self.three, self.head = nn.Conv2d(16, 24, 1, bias=False), nn.Linear(24, 5)
        self.mix = nn.Parameter(torch.randn(24, 24) / 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu6(self.three(F.relu(self.two(F.relu(self.one(x))))))
        return self.head(x.mean([2, 3]) @ self.mix)


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype("float32")


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> onnx.ModelProto:
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    write_module(Net().eval(), SHAPE, path)
    return simplified(onnx.load(path), SHAPE)


def written(exact: onnx.ModelProto, **options: bool) -> onnx.ModelProto:
    return with_pairs(exact, measured_ranges(exact, [images(16, 0)], "min_max"), portable=False, **options)


def noise(exact: onnx.ModelProto, found: onnx.ModelProto) -> float:
    x_NCHW = images(64, 1)
    return float(np.square(as_written(exact, x_NCHW) - as_written(found, x_NCHW)).sum())


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize(("rounding", "biases"), [(True, False), (False, True), (True, True)])
def test_it_is_nearer_to_the_float_graph(exact: onnx.ModelProto, rounding: bool, biases: bool, apart: bool) -> None:
    """On images that it has not seen."""
    plain, better = written(exact), mended(written(exact), exact, images(64, 0), rounding, biases, apart)
    assert noise(exact, better) < noise(exact, plain)
    assert noise(exact, integer_file(better)) == pytest.approx(noise(exact, better), rel=0.3)


def test_weights_move_by_one_step_at_most_and_only_biases_move_more(exact: onnx.ModelProto) -> None:
    plain, better = written(exact), mended(written(exact), exact, images(16, 0))
    moved = 0
    for before, after in zip(plain.graph.initializer, better.graph.initializer, strict=True):
        old, new = numpy_helper.to_array(before), numpy_helper.to_array(after)
        assert (before.name, old.dtype, old.shape) == (after.name, new.dtype, new.shape)
        if old.dtype == np.int8:
            assert np.abs(old.astype(int) - new).max() <= 1
            moved += int((old != new).sum())
        elif old.dtype != np.int32:
            assert np.array_equal(old, new)
    assert moved > 20
    assert [node.output for node in plain.graph.node] == [node.output for node in better.graph.node]


def test_nothing_asked_for_changes_nothing(exact: onnx.ModelProto) -> None:
    assert mended(written(exact), exact, images(4, 0), rounding=False, biases=False) == written(exact)


def test_float_nodes_are_left_alone(exact: onnx.ModelProto) -> None:
    names = [node.name for node in exact.graph.node if node.op_type == "Conv"]
    found = mended(written(exact, floats=names), exact, images(16, 0))
    weights = {value.name: numpy_helper.to_array(value) for value in found.graph.initializer}
    for node in exact.graph.node:
        if node.name in names:
            original = next(value for value in exact.graph.initializer if value.name == node.input[1])
            assert np.array_equal(weights[node.input[1]], numpy_helper.to_array(original))


def test_a_weight_and_a_bias_of_two_nodes_stay_as_they_were() -> None:
    """What mends one would harm the other."""
    weight = np.random.default_rng(0).normal(size=(3, 3, 1, 1)).astype("float32")
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "bias"], ["a"], "a"),
            helper.make_node("Conv", ["a", "w", "bias"], ["b"], "b"),
            helper.make_node("GlobalAveragePool", ["b"], ["c"], "c"),
            helper.make_node("Flatten", ["c"], ["y"], "y"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *SHAPE))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(weight[:, 0, 0, 0], "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    shared = onnx.shape_inference.infer_shapes(model)
    assert mended(written(shared), shared, images(8, 0)) == written(shared)


def test_a_graph_with_graphs_in_it_stays_as_it_was_rounded(exact: onnx.ModelProto) -> None:
    """What they read is not among their node's inputs."""
    looped, body = onnx.ModelProto(), onnx.GraphProto()
    looped.CopyFrom(exact)
    looped.graph.node.append(helper.make_node("If", ["one"], ["two"], then_branch=body, else_branch=body))
    assert mended(written(exact), looped, images(2, 0)) == written(exact)


def test_one_node_is_spared(exact: onnx.ModelProto) -> None:
    paired = mended(written(exact), exact, images(16, 0), apart=True)
    names = [node.name for node in exact.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    gained = [noise(exact, paired) - noise(exact, spared(paired, exact, name)) for name in names]
    assert len(gained) == 5
    assert max(gained) > 0
    assert spared(paired, exact, names[0]) != paired


@settings(max_examples=40, deadline=None)
@given(
    way=st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]),
    size=st.integers(6, 9),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
)
def test_padding_is_what_the_runtime_pads(way: str, size: int, kernel: int, stride: int, dilation: int) -> None:
    given_pads = {"pads": [1, 0, 2, 1]} if way == "NOTSET" else {"auto_pad": way}
    if dilation > 1 and way.startswith("SAME"):
        dilation = 1  # which ONNX Runtime pads as if there were none
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        strides=[stride] * 2,
        dilations=[dilation] * 2,
        kernel_shape=[kernel] * 2,
        **given_pads,
    )
    x, weight = torch.randn(1, 2, size, size + 1), torch.randn(4, 2, kernel, kernel)
    graph = helper.make_graph(
        [node], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, tuple(x.shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight.numpy(), "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    sliding = sliding_of(node)
    found = F.conv2d(padded(x, node, tuple(weight.shape)), weight, None, sliding.stride, 0, sliding.dilation)
    np.testing.assert_allclose(found.numpy(), session.run(None, {"x": x.numpy()})[0], rtol=1e-4, atol=1e-4)
