"""More channels of zeros, and the same answers, bit for bit; what leaves the graph keeps its channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewriting_kit import DEQUANTIZE, QUANTIZE, built, changed, node, run

from pipeline.rewrites.aligned_channels import MULTIPLE, aligned_channels
from pipeline.rewrites.hard_sigmoid import hard_sigmoid


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


def graph(width: int = 24, seed: int = 0, gate: bool = True, outputs: str = "y") -> onnx.ModelProto:
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


def groups(model: onnx.ModelProto) -> list[int]:
    """Of the depthwise convolutions."""
    found = [attribute.i for one in model.graph.node for attribute in one.attribute if attribute.name == "group"]
    return [group for group in found if group > 1]


@settings(deadline=None, max_examples=25)
@given(width=st.integers(2, 40), seed=st.integers(0, 99), gate=st.booleans())
def test_equal(width: int, seed: int, gate: bool) -> None:
    before = graph(width, seed, gate)
    after = changed(lambda model: aligned_channels(hard_sigmoid(model)), before)
    assert groups(after) == [-(-width // MULTIPLE) * MULTIPLE]
    x = np.random.default_rng(seed).normal(size=(1, 8, 6, 5), scale=2).astype(np.float32)
    assert np.array_equal(run(after, x), run(changed(hard_sigmoid, before), x))


@pytest.mark.parametrize("output", ["deep", "swish_dq", "wide"])
def test_what_leaves_the_graph_keeps_its_channels(output: str) -> None:
    before = graph(outputs=f"y {output}")
    assert groups(changed(aligned_channels, before)) == [24]


def test_other_operators_fix_the_channels() -> None:
    before = graph()
    softmax: Any = next(one for one in before.graph.node if one.op_type == "GlobalAveragePool")
    softmax.op_type = "GlobalMaxPool"
    assert groups(changed(aligned_channels, before)) == [24]


def test_multiples_stay_as_they_are() -> None:
    before = graph(32)
    assert changed(aligned_channels, before).graph.initializer == before.graph.initializer
