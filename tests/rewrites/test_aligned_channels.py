"""More channels of zeros, and the same answers, bit for bit; what leaves the graph keeps its channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from rewriting_kit import Builder, built, changed, node, run
from rewriting_kit import residual as graph

from pipeline.rewrites.aligned_channels import MULTIPLE, aligned_channels
from pipeline.rewrites.hard_sigmoid import hard_sigmoid


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


def test_halves_of_channels_stay_halves() -> None:
    """What is split and joined again, as in ShuffleNet, keeps its channels; what is within the halves does not."""
    net = Builder(0)
    whole = net.rounded(net.convolution(net.rounded("x"), "whole", 8, 12))
    net.nodes.append(helper.make_node("Split", [whole], ["left", "right"], name="split", axis=1, num_outputs=2))
    wide = net.rounded(net.convolution(net.rounded("right"), "wide", 6, 10))
    deep = net.rounded(net.convolution(wide, "deep", 10, 10, 3, 10))
    net.convolution(deep, "narrow", 10, 6)
    net.nodes += [node("Concat", "left narrow", "y", axis=1)]
    before = built(net.nodes, net.constants, [1, 8, 6, 5])
    after = changed(aligned_channels, before)
    assert groups(after) == [16]
    x = np.random.default_rng(0).normal(size=(1, 8, 6, 5)).astype(np.float32)
    assert np.array_equal(run(after, x), run(before, x))
