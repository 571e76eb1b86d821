"""A bias on the grid becomes integers, and Gemm an integer kernel; others are left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting_kit import DEQUANTIZE, QUANTIZE, built, changed, kernels, node, run

from pipeline.rewrites.integer_bias import integer_bias


def graph(seed: int = 0, off: float = 0.0, per_channel: bool = True, **changes: Any) -> onnx.ModelProto:
    """x -> Q -> DQ -> Gemm with int8 weights -> y."""
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.001, 0.02, 5 if per_channel else ()).astype(np.float32)
    bias = rng.integers(-9999, 9999, 5) + off
    constants = {
        "s": np.float32(0.03),
        "z": np.uint8(7),
        "w": rng.integers(-127, 128, (5, 8)).astype(np.int8),
        "v": scale,
        "zero": np.zeros_like(scale, np.int8),
        "bias": (bias * scale * np.float32(0.03)).astype(np.float32),
    }
    nodes = [
        node(QUANTIZE, "x s z", "a"),
        node(DEQUANTIZE, "a s z", "b"),
        node(DEQUANTIZE, "w v zero", "weight", axis=0),
        node("Gemm", changes.get("inputs", "b weight bias"), "y", transB=1),
    ]
    return built(nodes, constants, [1, 8])


@given(seed=st.integers(0, 999), per_channel=st.booleans())
def test_equal(seed: int, per_channel: bool) -> None:
    before = graph(seed, per_channel=per_channel)
    x = np.random.default_rng(seed).normal(size=(1, 8), scale=3).astype(np.float32)
    exact = run(before, x, optimized=False)
    np.testing.assert_allclose(run(changed(integer_bias, before), x), exact, rtol=1e-5, atol=1e-4)


def test_the_kernel_is_integer(tmp_path: Path) -> None:
    assert "QGemm" in kernels(changed(integer_bias, graph()), tmp_path)
    assert "QGemm" not in kernels(graph(), tmp_path)


@pytest.mark.parametrize(
    "changes", [{"off": 0.4}, {"inputs": "x weight bias"}, {"inputs": "b weight"}], ids=["off grid", "float", "no bias"]
)
def test_others_are_left_alone(changes: dict[str, Any]) -> None:
    before = graph(**changes)
    assert changed(integer_bias, before).graph.node[-1].input == before.graph.node[-1].input
