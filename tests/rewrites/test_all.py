"""All rewrites together: integers from the image to the answer, and the same answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from rewriting_kit import Builder, built, changed, kernels, kinds, node, residual, run

from pipeline.rewrites.all import rewritten

FLOAT = {"Conv", "Gemm", "Add", "Mul", "HardSigmoid", "ReduceMean", "DequantizeLinear"}


def network() -> onnx.ModelProto:
    """Three image channels, hard swish, a depthwise convolution of 24 channels, a mean and a linear layer."""
    net = Builder(0)
    net.constants |= {"none": np.uint8(0), "axes": np.array([2, 3]), "shape": np.array([1, 24])}
    first = net.rounded(net.convolution(net.rounded("x"), "first", 3, 24, 3))
    net.nodes.append(node("HardSigmoid", first, "gate", alpha=1 / 6, beta=0.5))
    net.nodes.append(node("Mul", f"{first} {net.rounded('gate', 1 / 255, 'none')}", "swish"))
    deep = net.rounded(net.convolution(net.rounded("swish"), "deep", 24, 24, 3, 24))
    narrow = net.rounded(net.convolution(deep, "narrow", 24, 24))
    net.nodes.append(node("ReduceMean", f"{narrow} axes", "mean", keepdims=1))
    net.nodes.append(node("Reshape", f"{net.rounded('mean')} shape", "flat"))
    flat, scale = net.rounded("flat"), net.rng.uniform(0.001, 0.01, 5).astype(np.float32)
    net.constants |= {
        "w": net.rng.integers(-127, 128, (5, 24)).astype(np.int8),
        "v": scale,
        "vz": np.zeros(5, np.int8),
        "b": net.rng.integers(-99, 99, 5).astype(np.float32) * scale * np.float32(0.05),
    }
    net.nodes.append(node("DequantizeLinear", "w v vz", "weight", axis=0))
    net.nodes.append(node("Gemm", f"{flat} weight b", "y", transB=1))
    return built(net.nodes, net.constants, (1, 3, 9, 8))


def test_nothing_float_is_left(tmp_path: Path) -> None:
    assert {"Gemm", "ReduceMean", "HardSigmoid"} < set(kernels(network(), tmp_path))
    made = kernels(changed(rewritten, network()), tmp_path)
    assert not FLOAT & set(made)
    assert made.count("QuantizeLinear") == 1


def test_answers_are_kept_to_a_step() -> None:
    before = network()
    x = np.random.default_rng(0).normal(size=(1, 3, 9, 8)).astype(np.float32)
    exact = run(before, x, optimized=False)
    np.testing.assert_allclose(run(changed(rewritten, before), x), exact, atol=0.02 * np.abs(exact).max())


def test_a_second_time_changes_nothing() -> None:
    once = changed(rewritten, network())
    assert kinds(changed(rewritten, once)) == kinds(once)


def test_shapes_between_are_gone_and_those_of_the_answer_stay() -> None:
    after = changed(rewritten, residual())
    between = {name for one in after.graph.node for name in one.output} - {"y"}
    assert not between & {info.name for info in after.graph.value_info}
    assert [d.dim_value for d in after.graph.output[0].type.tensor_type.shape.dim] == [1, 8, 6, 5]
