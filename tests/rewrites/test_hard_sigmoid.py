"""A hard sigmoid between grids is an addition that saturates; with other grids it is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting_kit import DEQUANTIZE, QUANTIZE, built, changed, kernels, kinds, node, run

from pipeline.rewrites.hard_sigmoid import hard_sigmoid


def graph(scale: float = 0.05, zero: int = 100, **changes: Any) -> onnx.ModelProto:
    """x -> Q -> DQ -> HardSigmoid -> Q -> DQ -> y."""
    constants = {
        "s": np.float32(scale) if changes.get("one", True) else np.full(3, scale, np.float32),
        "z": np.uint8(zero) if changes.get("one", True) else np.full(3, zero, np.uint8),
        "t": np.float32(changes.get("step", 1 / 255)),
        "o": changes.get("origin", np.uint8(0)),
    }
    attributes = changes.get("attributes", {"alpha": 1 / 6, "beta": 0.5})
    nodes = [
        node(QUANTIZE, "x s z", "a", axis=1),
        node(DEQUANTIZE, "a s z", "b", axis=1),
        node("HardSigmoid", "b", "c", **attributes),
        node(QUANTIZE, "c t o", "d"),
        node(DEQUANTIZE, "d t o", "y"),
    ]
    if changes.get("also"):
        nodes.append(node("Neg", "c", "n"))
    return built(nodes, constants, [2, 3, 4, 5], "y n" if changes.get("also") else "y")


@given(
    scale=st.floats(0.001, 0.2),
    zero=st.integers(0, 255),
    alpha=st.sampled_from([1 / 6, 0.2, 0.5]),
    beta=st.sampled_from([0.5, 0.25, 0.0]),
    step=st.sampled_from([1 / 255, 1 / 300]),
)
def test_equal_to_a_step_on_ties(scale: float, zero: int, alpha: float, beta: float, step: float) -> None:
    before = graph(scale, zero, step=step, attributes={"alpha": alpha, "beta": beta})
    after = changed(hard_sigmoid, before)
    assert "HardSigmoid" not in kinds(after)
    levels = (np.resize(np.arange(256), (3, 2, 3, 4, 5)).astype(np.float32) - zero) * np.float32(scale)
    for x in levels:
        difference = np.abs(run(before, x, optimized=False) - run(after, x)) / np.float32(step)
        assert difference.max() <= 1.001
        assert (difference > 0.01).mean() <= 0.1


def test_it_runs_on_integers(tmp_path: Path) -> None:
    made = kernels(changed(hard_sigmoid, graph()), tmp_path)
    assert "QLinearAdd" in made
    assert "HardSigmoid" not in made
    assert "HardSigmoid" in kernels(graph(), tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 1 / 200},
        {"origin": np.uint8(3)},
        {"origin": np.int8(0)},
        {"one": False},
        {"also": True},
    ],
    ids=["saturates above 1", "another zero point", "int8", "a scale for each channel", "read as float too"],
)
def test_others_are_left_alone(changes: dict[str, Any]) -> None:
    assert "HardSigmoid" in kinds(changed(hard_sigmoid, graph(**changes)))


def test_defaults_are_those_of_onnx() -> None:
    before = graph(attributes={})
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    np.testing.assert_allclose(run(changed(hard_sigmoid, before), x), run(before, x, optimized=False), atol=1.01 / 255)


def test_shapes_stay_known() -> None:
    """The rewrites after it ask for them."""
    after = changed(hard_sigmoid, graph())
    known = {info.name: [d.dim_value for d in info.type.tensor_type.shape.dim] for info in after.graph.value_info}
    [addition] = [one for one in after.graph.node if one.op_type == "Add"]
    assert known[addition.input[0]] == known[addition.output[0]] == [2, 3, 4, 5]


def relabelled(scale: float = 6 / 256, zero: int = 128, step: float = 1 / 256) -> onnx.ModelProto:
    return changed(hard_sigmoid, graph(scale, zero, step=step))


def test_a_gate_of_the_same_integers_is_no_operator() -> None:
    x = ((np.resize(np.arange(256), (3, 2, 3, 4, 5)) - 128) * np.float32(6 / 256)).astype(np.float32)
    assert kinds(relabelled()) == [QUANTIZE, DEQUANTIZE]
    for part in x:
        assert np.array_equal(run(relabelled(), part), run(graph(6 / 256, 128, step=1 / 256), part, optimized=False))


@pytest.mark.parametrize(
    ("scale", "zero", "step"), [(6 / 255, 128, 1 / 256), (6 / 256, 127, 1 / 256), (6 / 256, 128, 1 / 257)]
)
def test_other_integers_need_the_addition(scale: float, zero: int, step: float) -> None:
    assert "Add" in kinds(relabelled(scale, zero, step))
