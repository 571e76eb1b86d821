"""A layer that was left float stays so in ONNX Runtime; nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting_kit import Builder, built, changed, kernels, kinds, node, run

from pipeline.rewrites.all import rewritten
from pipeline.rewrites.kept_float import kept_float

IMAGE = (1, 8, 6, 5)


def alone(seed: int = 0, kernel: int = 1, group: int = 1, clamp: bool = False, channels: int = 8) -> onnx.ModelProto:
    """A float convolution of an image that is quantized, and quantized behind it."""
    net = Builder(seed)
    net.nodes.append(node("Identity", floating(net, net.rounded("x"), kernel, group, clamp, channels), "y"))
    return built(net.nodes, net.constants, (1, channels, 6, 5))


def island() -> onnx.ModelProto:
    """The same between two int8 convolutions."""
    net = Builder(0)
    odd = floating(net, net.rounded(net.convolution(net.rounded("x"), "first", 8, 8)))
    second = net.convolution(odd, "second", 8, 8)
    net.nodes.append(node("Identity", net.rounded(second), "y"))
    return built(net.nodes, net.constants, IMAGE)


def floating(net: Builder, source: str, kernel: int = 1, group: int = 1, clamp: bool = False, channels: int = 8) -> str:
    net.constants |= {
        "w": net.rng.normal(size=(8, channels // group, kernel, kernel)).astype(np.float32),
        "b": net.rng.normal(size=8).astype(np.float32),
    }
    net.nodes.append(node("Conv", f"{source} w b", "odd", pads=[kernel // 2] * 4, group=group))
    if clamp:
        net.nodes.append(node("Relu", "odd", "clamped"))
    return net.rounded("clamped" if clamp else "odd", 0.1)


def linear(seed: int = 0, transposed: int = 1) -> onnx.ModelProto:
    """Gemm of a dequantized row with a float weight, quantized behind it."""
    net = Builder(seed)
    shape = (5, 8) if transposed else (8, 5)
    net.constants |= {
        "w": net.rng.normal(size=shape).astype(np.float32),
        "b": net.rng.normal(size=5).astype(np.float32),
    }
    net.nodes.append(node("Gemm", f"{net.rounded('x')} w b", "odd", transB=transposed))
    net.nodes.append(node("Identity", net.rounded("odd", 0.1), "y"))
    return built(net.nodes, net.constants, (1, 8))


def image(seed: int, shape: tuple[int, ...] = IMAGE) -> Any:
    return np.random.default_rng(seed).normal(size=shape, scale=2).astype(np.float32)


@given(seed=st.integers(0, 999), kernel=st.sampled_from([1, 3]), group=st.sampled_from([1, 2, 8]), clamp=st.booleans())
def test_answers_are_those_of_the_file_as_it_is_written(seed: int, kernel: int, group: int, clamp: bool) -> None:
    before, x = alone(seed, kernel, group, clamp), image(seed)
    exact, found = run(before, x, optimized=False), run(changed(kept_float, before), x)
    np.testing.assert_allclose(found, exact, atol=0.1001)  # a step,
    assert np.mean(found != exact) < 0.02  # which ties take where a sum has another order


def test_without_it_the_runtime_rounds_a_lone_float_layer() -> None:
    before, x = alone(0, 3, 1, False), image(0)
    assert np.mean(run(before, x) != run(before, x, optimized=False)) > 0.02


@pytest.mark.parametrize("transposed", [0, 1])
def test_linear_layers(transposed: int) -> None:
    before, x = linear(1, transposed), image(1, (1, 8))
    exact = run(before, x, optimized=False)
    np.testing.assert_allclose(run(changed(kept_float, before), x), exact, atol=1e-6)
    assert np.abs(run(before, x) - exact).max() > 0.05  # what the rewrite is there for


def test_without_it_the_weight_is_rounded(tmp_path: Path) -> None:
    """Should this fail one day, ONNX Runtime has mended its ways and the rewrite can go."""
    assert kernels(island(), tmp_path).count("QLinearConv") == 3
    made = kernels(changed(kept_float, island()), tmp_path)
    assert made.count("QLinearConv") == 2
    assert len(made) > len(kernels(island(), tmp_path))


def test_one_dequantization_in_and_one_quantization_out(tmp_path: Path) -> None:
    made = kernels(changed(rewritten, island()), tmp_path)
    assert made.count("DequantizeLinear") == 2  # and that of the answer
    assert made.count("QuantizeLinear") == 2  # and that of the image


def test_integers_beside_it_keep_their_own_dequantization(tmp_path: Path) -> None:
    net = Builder(0)
    first = net.rounded(net.convolution(net.rounded("x"), "first", 8, 8))
    net.constants["w"] = net.rng.normal(size=(8, 8, 1, 1)).astype(np.float32)
    net.nodes.append(node("Conv", f"{first} w", "odd"))
    second = net.rounded(net.convolution(first, "second", 8, 8))
    net.nodes.append(node("Add", f"{net.rounded('odd')} {second}", "sum"))
    net.nodes.append(node("Identity", net.rounded("sum"), "y"))
    before, x = built(net.nodes, net.constants, IMAGE), image(0)
    after = changed(kept_float, before)
    assert kernels(after, tmp_path).count("QLinearConv") == 2
    assert "QLinearAdd" in kernels(after, tmp_path)
    assert np.abs(run(after, x) - run(before, x, optimized=False)).mean() < 0.005  # a tenth of a step


def test_others_are_left_alone() -> None:
    net = Builder(0)
    net.constants["w"] = net.rng.normal(size=(8, 8, 1, 1)).astype(np.float32)
    net.nodes.append(node("Conv", "x w", "first"))  # of an image that is not quantized
    second = net.convolution(net.rounded("first"), "second", 8, 8)  # of int8 weights
    net.nodes.append(node("Identity", net.rounded(second), "y"))
    before = built(net.nodes, net.constants, IMAGE)
    assert changed(kept_float, before).graph.node == before.graph.node
    one = alone(channels=1)  # of one channel, whose scale is one either way
    assert changed(kept_float, one).graph.node == one.graph.node


def test_a_second_time_changes_nothing() -> None:
    once = changed(rewritten, island())
    assert kinds(changed(rewritten, once)) == kinds(once)
