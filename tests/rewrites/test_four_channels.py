"""A plane of zeros more, and the same answers, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting_kit import DEQUANTIZE, QUANTIZE, built, changed, kinds, node, run

from pipeline.rewrites.four_channels import four_channels


def graph(channels: int = 3, kernel: int = 3, **changes: Any) -> onnx.ModelProto:
    """x -> Q -> DQ -> Conv with int8 weights -> Q -> DQ -> y."""
    rng, outputs, group = np.random.default_rng(changes.get("seed", 0)), 6, changes.get("group", 1)
    constants = {
        "s": np.float32(0.03),
        "z": np.uint8(changes.get("zero", 100)),
        "w": rng.integers(-127, 128, (outputs, channels // group, kernel, kernel)).astype(np.int8),
        "v": rng.uniform(0.001, 0.02, outputs).astype(np.float32),
        "zeros": np.zeros(outputs, np.int8),
        "t": np.float32(0.1),
        "o": np.uint8(120),
    }
    nodes = [
        node(QUANTIZE, "x s z", "a"),
        node(DEQUANTIZE, "a s z", "b"),
        node(DEQUANTIZE, "w v zeros", "weight", axis=0),
        node("Conv", "b weight", "c", strides=[2, 2], pads=[0, 1, 2, 1], group=group),
        node(QUANTIZE, "c t o", "d"),
        node(DEQUANTIZE, "d t o", "y"),
    ]
    return built(nodes, constants, [1, channels, 9, 8])


@given(
    channels=st.sampled_from([1, 2, 3]),
    kernel=st.sampled_from([3, 5]),
    zero=st.integers(0, 255),
    seed=st.integers(0, 99),
)
def test_equal(channels: int, kernel: int, zero: int, seed: int) -> None:
    before = graph(channels, kernel, zero=zero, seed=seed)
    after = changed(four_channels, before)
    assert "Concat" in kinds(after)
    x = np.random.default_rng(seed).normal(size=(1, channels, 9, 8), scale=2).astype(np.float32)
    assert np.array_equal(run(after, x), run(before, x))


@pytest.mark.parametrize(
    ("channels", "kernel", "group"),
    [(4, 3, 1), (8, 3, 1), (3, 1, 1), (3, 3, 3)],
    ids=["four", "eight", "1 × 1", "grouped"],
)
def test_others_are_left_alone(channels: int, kernel: int, group: int) -> None:
    assert "Concat" not in kinds(changed(four_channels, graph(channels, kernel, group=group)))
