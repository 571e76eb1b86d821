"""A normalization that no convolution took: the same answers from other weights, or from a convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from rewriting_kit import built, changed, kinds, node, run

from pipeline.rewrites.batch_norm import batch_norm

CHANNELS, FEATURES = 6, 10


def norm(source: str, output: str, rng: np.random.Generator, **attributes: Any) -> tuple[onnx.NodeProto, dict]:
    names = [f"{output}_{one}" for one in "sbmv"]
    values = [rng.uniform(0.5, 2, CHANNELS), rng.normal(size=CHANNELS), rng.normal(size=CHANNELS)]
    arrays = [*values, rng.uniform(0.2, 2, CHANNELS)]
    made = node("BatchNormalization", " ".join([source, *names]), output, **attributes)
    return made, {name: array.astype(np.float32) for name, array in zip(names, arrays, strict=True)}


@given(seed=st.integers(0, 99), epsilon=st.sampled_from([None, 1e-2]))
def test_of_an_image_it_is_a_convolution(seed: int, epsilon: float | None) -> None:
    rng, shape = np.random.default_rng(seed), (1, CHANNELS, 5, 4)
    attributes = {} if epsilon is None else {"epsilon": epsilon}
    made, constants = norm("r", "y", rng, **attributes)
    before = built([node("Relu", "x", "r"), made], constants, shape)
    after = changed(batch_norm, before)
    assert kinds(after) == ["Relu", "Conv"]
    x = rng.normal(size=shape).astype(np.float32)
    np.testing.assert_allclose(run(after, x), run(before, x), rtol=1e-5, atol=1e-5)


@given(
    seed=st.integers(0, 99),
    kind=st.sampled_from(["Gemm", "Gemm without bias", "MatMul"]),
    transposed=st.booleans(),
    alpha=st.sampled_from([1.0, 0.5]),
)
def test_behind_a_linear_layer_its_weights_take_it(seed: int, kind: str, transposed: bool, alpha: float) -> None:
    rng, gemm = np.random.default_rng(seed), kind.startswith("Gemm")
    shape = (CHANNELS, FEATURES) if gemm and transposed else (FEATURES, CHANNELS)
    made, constants = norm("a", "y", rng)
    constants |= {"w": rng.normal(size=shape).astype(np.float32), "c": rng.normal(size=CHANNELS).astype(np.float32)}
    attributes = {"transB": int(transposed), "alpha": alpha} if gemm else {}
    linear = node(kind.partition(" ")[0], "x w c" if kind == "Gemm" else "x w", "a", **attributes)
    before = built([linear, made], constants, (1, FEATURES))
    after = changed(batch_norm, before)
    assert kinds(after) == ["Gemm"]
    x = rng.normal(size=(1, FEATURES)).astype(np.float32)
    np.testing.assert_allclose(run(after, x), run(before, x), rtol=1e-4, atol=1e-5)


def test_what_others_read_too_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    made, constants = norm("a", "n", rng)
    constants["w"] = rng.normal(size=(FEATURES, CHANNELS)).astype(np.float32)
    nodes = [node("MatMul", "x w", "a"), made, node("Add", "a n", "y")]
    assert "BatchNormalization" in kinds(changed(batch_norm, built(nodes, constants, (1, FEATURES))))


@pytest.mark.parametrize("what", ["computed", "rows of unknown origin"])
def test_what_is_not_constant_or_known_is_left_alone(what: str) -> None:
    made, constants = norm("r", "y", np.random.default_rng(0))
    nodes, shape = [node("Relu", "x", "r")], (1, CHANNELS) if what != "computed" else (1, CHANNELS, 3, 3)
    if what == "computed":
        nodes.append(helper.make_node("Identity", ["y_s"], ["other"]))
        made.input[1] = "other"
    assert "BatchNormalization" in kinds(changed(batch_norm, built([*nodes, made], constants, shape)))
