"""Input and output are found under their names, and nothing else is lost."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from rewriting_kit import built, node

from pipeline.rewrites.port_names import with_port_names


def answer(model: onnx.ModelProto, name: str, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {name: x})[0]


@pytest.mark.parametrize(("inner", "weight"), [("middle", "w"), ("logits", "input"), ("input", "logits")])
def test_same_answers_under_the_known_names(inner: str, weight: str) -> None:
    """Also where the names are taken, by a value between or by a weight."""
    nodes = [node("Mul", f"x {weight}", inner), node("Add", f"{inner} {weight}", "y")]
    before = built(nodes, {weight: np.float32([1, 2, 3])}, [1, 3])
    after = with_port_names(before)
    onnx.checker.check_model(after, full_check=True)
    assert [port.name for port in (*after.graph.input, *after.graph.output)] == ["input", "logits"]
    x = np.float32([[4, 5, 6]])
    assert np.array_equal(answer(after, "input", x), answer(before, "x", x))


def test_names_that_fit_stay() -> None:
    once = with_port_names(built([node("Relu", "x", "y")], {}, [1, 3]))
    assert with_port_names(once).SerializeToString() == once.SerializeToString()
