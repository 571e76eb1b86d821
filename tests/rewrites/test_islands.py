"""What stays float is found in the graph that really runs, with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from rewriting_kit import Builder, built, changed, node, residual

from pipeline.rewrites.hard_sigmoid import hard_sigmoid
from pipeline.rewrites.islands import Island, _reason, islands
from pipeline.rewrites.kept_float import kept_float

IMAGE = (1, 8, 6, 5)


def found(model: onnx.ModelProto, tmp_path: Path) -> tuple[Island, ...]:
    """Islands of the graph as ONNX Runtime makes it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "optimized.onnx"), 4
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return islands(tmp_path / "optimized.onnx")


def test_integers_from_image_to_answer_are_none(tmp_path: Path) -> None:
    assert found(changed(hard_sigmoid, residual(32)), tmp_path) == ()


def test_a_hard_sigmoid_is_one(tmp_path: Path) -> None:
    [island] = found(residual(32), tmp_path)
    assert island.operators == ("HardSigmoid",)
    assert island.reason == "ONNX Runtime has no integer kernel for HardSigmoid"
    assert "node_gate" in island.names
    assert len(island.names) == 3  # with what dequantizes and quantizes


def between(tmp_path: Path, kind: str) -> tuple[Island, ...]:
    net = Builder(0)
    first = net.convolution(net.rounded("x"), "one", 8, 8)
    net.nodes.append(node(kind, net.rounded(first), "odd"))
    second = net.convolution(net.rounded("odd"), "two", 8, 8)
    net.nodes.append(node("Identity", net.rounded(second), "y"))
    return found(built(net.nodes, net.constants, IMAGE), tmp_path)


@pytest.mark.parametrize("kind", ["Tanh", "Erf", "Abs"])
def test_operators_without_integer_kernels_are_named(kind: str, tmp_path: Path) -> None:
    [island] = between(tmp_path, kind)
    assert island.operators == (kind,)
    assert kind in island.reason


def test_a_result_that_is_also_read_as_float(tmp_path: Path) -> None:
    net = Builder(0)
    made = net.convolution(net.rounded("x"), "one", 8, 8)
    net.nodes.append(node("Identity", net.rounded(made), "y"))
    net.nodes.append(node("Tanh", made, "t"))
    [island] = found(built(net.nodes, net.constants, IMAGE, "y t"), tmp_path)
    assert "Conv" in island.operators
    assert "not quantized everywhere" in island.reason


def test_a_scale_for_each_input(tmp_path: Path) -> None:
    net = Builder(0)
    made = net.convolution(net.rounded("x"), "one", 8, 6)
    [read] = [one for one in net.nodes if one.output[0] == "one_weight"]
    read.attribute[0].i = 1
    net.constants |= {"one_v": np.full(8, 0.01, np.float32), "one_z": np.zeros(8, np.int8)}
    net.nodes.append(node("Identity", net.rounded(made), "y"))
    [island] = found(built(net.nodes, net.constants, IMAGE), tmp_path)
    assert "for each input" in island.reason


def test_an_input_that_is_not_rounded(tmp_path: Path) -> None:
    net = Builder(0)
    made = net.convolution("x", "one", 8, 8)
    second = net.convolution(net.rounded(made), "two", 8, 8)
    net.nodes.append(node("Identity", net.rounded(second), "y"))
    [island] = found(built(net.nodes, net.constants, IMAGE), tmp_path)
    assert island.operators == ("Conv",)
    assert island.reason == "an input is not quantized"


@pytest.mark.parametrize("channels", [8, 16])  # of sixteen, float convolutions are given another layout
def test_a_layer_that_was_left_float(channels: int, tmp_path: Path) -> None:
    net = Builder(0)
    first = net.rounded(net.convolution(net.rounded("x"), "one", 8, channels))
    net.constants["w"] = net.rng.normal(size=(channels, channels, 1, 1)).astype(np.float32)
    net.nodes.append(node("Conv", f"{first} w", "odd"))
    second = net.convolution(net.rounded("odd"), "two", channels, 8)
    net.nodes.append(node("Identity", net.rounded(second), "y"))
    [island] = found(changed(kept_float, built(net.nodes, net.constants, IMAGE)), tmp_path)
    assert "Conv" in island.operators
    assert island.reason == "its weight is float"


def test_rounding_alone_has_its_reason() -> None:
    assert "another scale" in _reason([])
