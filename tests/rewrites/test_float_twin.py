"""The float graph behind a rounded one: the same layers, nothing rounded, nothing that only integers need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting_kit import DEQUANTIZE, QUANTIZE, Builder, built, changed, kinds, node, residual, run

from pipeline.errors import UsageError
from pipeline.rewrites._match import dequantized
from pipeline.rewrites.aligned_channels import aligned_channels
from pipeline.rewrites.float_twin import float_twin, write_float_twin
from pipeline.rewrites.four_channels import four_channels
from pipeline.rewrites.hard_sigmoid import hard_sigmoid
from pipeline.rewrites.kept_float import kept_float

IMAGE = (1, 8, 6, 5)


def sqnr_db(exact: np.ndarray, rounded: np.ndarray) -> float:
    return 10 * np.log10(np.sum(exact**2) / np.sum((exact - rounded) ** 2))


def roomy(width: int, seed: int) -> onnx.ModelProto:
    """An inverted residual in which nothing saturates."""
    model = residual(width, seed)
    for value in model.graph.initializer:
        if value.name.endswith("_scale") and value.name != "gate_scale":
            value.CopyFrom(onnx.numpy_helper.from_array(5 * onnx.numpy_helper.to_array(value), value.name))
    return model


@given(width=st.integers(2, 24), seed=st.integers(0, 99))
def test_rewriting_before_makes_no_difference(width: int, seed: int) -> None:
    before = roomy(width, seed)
    twin = changed(float_twin, before)
    other = changed(float_twin, changed(lambda model: aligned_channels(hard_sigmoid(model)), before))
    assert not {QUANTIZE, DEQUANTIZE} & {*kinds(twin), *kinds(other)}
    x = np.random.default_rng(seed).normal(size=IMAGE, scale=2).astype(np.float32)
    np.testing.assert_allclose(run(other, x), run(twin, x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_answers_are_near_those_that_are_rounded(seed: int) -> None:
    before = roomy(4, seed)
    x = np.random.default_rng(seed).normal(size=IMAGE, scale=2).astype(np.float32)
    assert sqnr_db(run(changed(float_twin, before), x), run(before, x)) > 15


def test_what_integers_needed_is_undone() -> None:
    """A hard sigmoid that became an addition is one again, and with its product a hard swish."""
    twin = changed(float_twin, changed(hard_sigmoid, residual()))
    assert kinds(twin).count("HardSwish") == 1
    assert kinds(twin).count("Add") == 1  # the residual's own


@pytest.mark.parametrize("step", [1 / 255, 1 / 300])
def test_a_gate_without_its_product_is_a_hard_sigmoid(step: float) -> None:
    net = Builder(0)
    net.constants["none"] = np.uint8(0)
    net.nodes.append(node("HardSigmoid", net.rounded("x"), "gate", alpha=0.25, beta=0.4))
    net.nodes.append(node("Identity", net.rounded("gate", step, "none"), "y"))
    [gate] = [
        one
        for one in changed(float_twin, changed(hard_sigmoid, built(net.nodes, net.constants, IMAGE))).graph.node
        if one.op_type == "HardSigmoid"
    ]
    found = {attribute.name: attribute.f for attribute in gate.attribute}
    assert found == pytest.approx({"alpha": 0.25, "beta": 0.4}, rel=1e-5)


def test_integers_that_were_only_read_otherwise_are_a_hard_sigmoid() -> None:
    nodes = [node(QUANTIZE, "x s z", "q"), node(DEQUANTIZE, "q t o", "y")]
    grid = {"s": np.float32(6 / 256), "z": np.uint8(128), "t": np.float32(1 / 256), "o": np.uint8(0)}
    before = built(nodes, grid, IMAGE)
    twin = changed(float_twin, before)
    assert kinds(twin) == ["HardSigmoid"]
    x = np.random.default_rng(0).normal(size=IMAGE, scale=3).astype(np.float32)
    np.testing.assert_allclose(run(twin, x), run(before, x), atol=1.01 / 256)


@pytest.mark.parametrize(("channels", "kernel"), [(3, 3), (1, 5)])
def test_added_image_channels_go(channels: int, kernel: int) -> None:
    net = Builder(0)
    made = net.convolution(net.rounded("x"), "c", channels, 6, kernel)
    net.nodes.append(node("Identity", net.rounded(made), "y"))
    before = built(net.nodes, net.constants, (1, channels, 6, 5))
    padded = changed(four_channels, before)
    twin = changed(float_twin, padded)
    assert "Concat" in kinds(padded)
    assert "Concat" not in kinds(twin)
    x = np.random.default_rng(0).normal(size=(1, channels, 6, 5)).astype(np.float32)
    assert np.array_equal(run(twin, x), run(changed(float_twin, before), x))


@pytest.mark.parametrize("zero", [0, 10])
def test_saturation_at_zero_was_a_clamp(zero: int) -> None:
    net = Builder(0)
    net.constants["zero"] = np.uint8(zero)
    made = net.convolution(net.rounded("x"), "c", 8, 6)
    net.nodes.append(node("Identity", net.rounded(made, 0.05, "zero"), "y"))
    before = built(net.nodes, net.constants, IMAGE)
    twin = changed(float_twin, before)
    assert ("Clip" in kinds(twin)) == (zero == 0)
    x = np.random.default_rng(0).normal(size=IMAGE, scale=5).astype(np.float32)
    low, high = run(twin, x).min(), run(twin, x).max()
    assert (low == 0 and high == pytest.approx(255 * 0.05)) == (zero == 0)


@given(seed=st.integers(0, 999), axis=st.sampled_from([None, 0, 1]), signed=st.booleans())
def test_constants_are_what_onnx_says(seed: int, axis: int | None, signed: bool) -> None:
    rng, dtype = np.random.default_rng(seed), np.int8 if signed else np.uint8
    size = () if axis is None else (3, 4)[axis]
    info = np.iinfo(dtype)
    constants = {
        "w": rng.integers(info.min, info.max + 1, (3, 4)).astype(dtype),
        "s": rng.uniform(0.01, 1, size).astype(np.float32),
        "z": rng.integers(info.min, info.max + 1, size).astype(dtype),
    }
    attributes = {} if axis is None else {"axis": axis}
    model = built([node(DEQUANTIZE, "w s z", "b", **attributes), node("Add", "x b", "y")], constants, [3, 4])
    [read] = [one for one in onnx_ir.from_proto(model).graph if one.op_type == DEQUANTIZE]
    np.testing.assert_allclose(dequantized(read), run(model, np.zeros((3, 4), np.float32)), rtol=1e-6)


def test_a_float_file_has_no_twin(tmp_path: Path) -> None:
    onnx.save(built([node("Neg", "x", "y")], {}, [2]), tmp_path / "float.onnx")
    with pytest.raises(UsageError, match="not quantized"):
        write_float_twin(tmp_path / "float.onnx", tmp_path / "twin.onnx")


def test_a_layer_that_was_left_float_reads_what_was_only_rounded() -> None:
    net = Builder(0)
    first = net.rounded(net.convolution(net.rounded("x"), "first", 8, 8))
    net.constants["w"] = net.rng.normal(size=(8, 8, 1, 1)).astype(np.float32)
    net.nodes.append(node("Conv", f"{first} w", "odd"))
    net.nodes.append(node("Identity", net.rounded("odd"), "y"))
    before = built(net.nodes, net.constants, (1, 8, 6, 5))
    twin, other = (changed(float_twin, model) for model in (before, changed(kept_float, before)))
    assert not {QUANTIZE, DEQUANTIZE, "HardSigmoid"} & set(kinds(other))
    assert kinds(other) == kinds(twin)
