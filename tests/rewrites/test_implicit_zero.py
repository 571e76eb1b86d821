"""Zero points of zero need not be written, where a convolution reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from rewriting_kit import DEQUANTIZE, Builder, built, changed, kernels, node, run

from pipeline.rewrites.implicit_zero import implicit_zero


def convolution(zero: int = 0) -> onnx.ModelProto:
    net = Builder(0)
    made = net.convolution(net.rounded("x"), "c", 4, 6, 3)
    net.constants["c_z"] = np.full(6, zero, np.int8)
    net.nodes.append(node("Identity", net.rounded(made), "y"))
    return built(net.nodes, net.constants, [1, 4, 5, 5])


def inputs(model: onnx.ModelProto) -> list[int]:
    return [len(one.input) for one in model.graph.node if one.op_type == DEQUANTIZE]


def test_equal_and_still_an_integer_kernel(tmp_path: Path) -> None:
    before = convolution()
    after = changed(implicit_zero, before)
    assert (inputs(before), inputs(after)) == ([3, 3, 3], [3, 2, 3])
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 5)).astype(np.float32)
    assert np.array_equal(run(after, x), run(before, x))
    assert "QLinearConv" in kernels(after, tmp_path)
    assert "c_z" not in {value.name for value in after.graph.initializer}


def test_other_zero_points_stay() -> None:
    assert inputs(changed(implicit_zero, convolution(1))) == [3, 3, 3]


@pytest.mark.parametrize(("kind", "dtype"), [("Gemm", np.int8), ("Add", np.int8), ("Gemm", np.uint8)])
def test_other_readers_keep_theirs(kind: str, dtype: type[np.generic]) -> None:
    constants = {"w": np.ones((3, 3), dtype), "s": np.float32(0.1), "z": dtype(0)}
    before = built([node(DEQUANTIZE, "w s z", "b"), node(kind, "x b", "y")], constants, [3, 3])
    assert inputs(changed(implicit_zero, before)) == [3]
