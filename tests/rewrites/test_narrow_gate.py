"""Repeating a gate's integers along the width changes nothing but the time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from rewriting_kit import Builder, built, changed, kernels, kinds, node, run

from pipeline.rewrites.all import rewritten
from pipeline.rewrites.narrow_gate import LEAST_WIDTH, MOST_CHANNELS, narrow_gate


def gated(channels: int, size: int = 24, first: bool = True, of_integers: bool = True) -> onnx.ModelProto:
    """A map times its own mean, channel by channel."""
    net = Builder(0)
    deep = net.rounded(net.convolution(net.rounded("x"), "deep", 4, channels))
    net.nodes.append(node("GlobalAveragePool", deep, "mean"))
    gate = net.rounded("mean", 0.01) if of_integers else "mean"
    net.nodes.append(node("Mul", f"{gate} {deep}" if first else f"{deep} {gate}", "product"))
    net.nodes.append(node("Identity", net.rounded("product"), "y"))
    return built(net.nodes, net.constants, [1, 4, size, size])


@pytest.mark.parametrize("first", [True, False])
def test_equal_and_still_an_integer_kernel(first: bool, tmp_path: Path) -> None:
    before = gated(16, first=first)
    after = changed(narrow_gate, before)
    assert "Expand" in kinds(after)
    x = np.random.default_rng(0).normal(size=(1, 4, 24, 24)).astype(np.float32)
    assert np.array_equal(run(after, x), run(before, x))
    made = kernels(after, tmp_path)
    assert "QLinearMul" in made
    assert made.count("DequantizeLinear") == 1  # of the answer: the repeated gate stays integer


@pytest.mark.parametrize(
    ("channels", "size", "of_integers"),
    [(MOST_CHANNELS + 1, 24, True), (16, LEAST_WIDTH - 1, True), (16, 24, False)],
    ids=["many channels", "few pixels", "float gate"],
)
def test_what_gains_nothing_stays(channels: int, size: int, of_integers: bool) -> None:
    before = gated(channels, size, of_integers=of_integers)
    assert kinds(changed(narrow_gate, before)) == kinds(before)


def test_a_product_of_two_maps_stays() -> None:
    net = Builder(0)
    image = net.rounded("x")
    one, other = (net.rounded(net.convolution(image, name, 4, 16)) for name in ("one", "other"))
    net.nodes.append(node("Mul", f"{one} {other}", "y"))
    before = built(net.nodes, net.constants, [1, 4, 24, 24])
    assert kinds(changed(narrow_gate, before)) == kinds(before)


def test_a_second_time_changes_nothing() -> None:
    once = changed(rewritten, gated(16))
    assert kinds(once).count("Expand") == 1
    assert kinds(changed(rewritten, once)) == kinds(once)
