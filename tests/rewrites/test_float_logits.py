"""The last quantization goes, and the output keeps its name."""

from __future__ import annotations

import numpy as np
from rewriting_kit import DEQUANTIZE, QUANTIZE, built, changed, kinds, node, run

from pipeline.rewrites.float_logits import float_logits

GRID = {"s": np.float32(0.1), "z": np.uint8(9)}
LAST = [node(QUANTIZE, "n s z", "q"), node(DEQUANTIZE, "q s z", "y")]


def test_the_logits_are_no_longer_rounded() -> None:
    before = built([node("Neg", "x", "n"), *LAST], GRID, [2, 3])
    after = changed(float_logits, before)
    x = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    assert kinds(after) == ["Neg"]
    assert np.array_equal(run(after, x), -x)
    assert [output.name for output in after.graph.output] == ["y"]


def test_an_output_that_is_read_stays() -> None:
    before = built([node("Neg", "x", "n"), *LAST, node("Abs", "y", "a")], GRID, [2, 3], "y a")
    assert kinds(changed(float_logits, before)) == kinds(before)


def test_an_input_that_is_only_rounded_stays() -> None:
    before = built([node(QUANTIZE, "x s z", "q"), node(DEQUANTIZE, "q s z", "y")], GRID, [2, 3])
    assert kinds(changed(float_logits, before)) == kinds(before)


def test_float_outputs_stay() -> None:
    before = built([node("Neg", "x", "y")], {}, [2, 3])
    assert kinds(changed(float_logits, before)) == ["Neg"]
