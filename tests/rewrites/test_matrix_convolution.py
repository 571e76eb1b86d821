"""Large convolutions with a zero point that lets ONNX Runtime multiply matrices: the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting_kit import Builder, built, changed, kernels, node, run

from pipeline.rewrites.matrix_convolution import LEAST_CHANNELS, LEAST_WEIGHTS, ZERO_POINT, matrix_convolution


def convolution(channels: int, kernel: int = 1, group: int = 1, seed: int = 0) -> onnx.ModelProto:
    net = Builder(seed)
    made = net.convolution(net.rounded("x"), "c", channels, 8 * group, kernel, group)
    net.nodes.append(node("Identity", net.rounded(made, 2.0), "y"))
    return built(net.nodes, net.constants, [1, channels, 5, 4])


def weights(model: onnx.ModelProto) -> np.ndarray:
    """The integers that the convolution's weight is dequantized from, less their zero points."""
    [conv] = [one for one in model.graph.node if one.op_type == "Conv"]
    [dequantize] = [one for one in model.graph.node if conv.input[1] in one.output]
    constants = {value.name: onnx.numpy_helper.to_array(value) for value in model.graph.initializer}
    integers, zero = (constants[dequantize.input[index]].astype(int) for index in (0, 2))
    return integers - zero.reshape(-1, 1, 1, 1)


def changes(model: onnx.ModelProto) -> bool:
    return any(value.name.endswith("_lowered") for value in changed(matrix_convolution, model).graph.initializer)


@given(seed=st.integers(0, 1000), kernel=st.sampled_from([1, 3]))
def test_the_same_bit_for_bit(seed: int, kernel: int) -> None:
    before = convolution(LEAST_CHANNELS, kernel, seed=seed)
    after = changed(matrix_convolution, before)
    assert np.array_equal(weights(after), weights(before))
    x = np.random.default_rng(seed).normal(size=(1, LEAST_CHANNELS, 5, 4)).astype(np.float32)
    assert np.array_equal(run(after, x), run(before, x))


def test_still_an_integer_kernel(tmp_path: Path) -> None:
    after = changed(matrix_convolution, convolution(LEAST_CHANNELS))
    assert "QLinearConv" in kernels(after, tmp_path)
    zero = [onnx.numpy_helper.to_array(value) for value in after.graph.initializer if value.name.endswith("_zero")]
    assert [set(array.reshape(-1)) for array in zero] == [{ZERO_POINT}]


@pytest.mark.parametrize(
    ("channels", "kernel", "group", "changed_"),
    [
        (LEAST_CHANNELS, 1, 1, True),
        (LEAST_CHANNELS - 4, 1, 1, False),
        (LEAST_WEIGHTS // 8, 3, 1, True),  # 64 channels of 3 × 3
        (32, 3, 1, False),
        (LEAST_CHANNELS, 3, LEAST_CHANNELS, False),  # depthwise
    ],
)
def test_only_large_and_dense_ones(channels: int, kernel: int, group: int, changed_: bool) -> None:
    assert changes(convolution(channels, kernel, group)) is changed_


def test_weights_at_the_lower_end_have_no_room() -> None:
    model = convolution(LEAST_CHANNELS)
    [weight] = [value for value in model.graph.initializer if value.name == "c_w"]
    array = onnx.numpy_helper.to_array(weight).copy()
    array[0, 0] = -128
    weight.CopyFrom(onnx.numpy_helper.from_array(array, "c_w"))
    assert not changes(model)


def test_a_second_time_changes_nothing() -> None:
    once = changed(matrix_convolution, convolution(LEAST_CHANNELS))
    assert [value.name for value in changed(matrix_convolution, once).graph.initializer] == [
        value.name for value in once.graph.initializer
    ]
