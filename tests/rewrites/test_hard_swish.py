"""Hard swish is x times a hard sigmoid."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from rewriting_kit import built, changed, kinds, node, run

from pipeline.rewrites.hard_swish import hard_swish


@given(seed=st.integers(0, 99), last=st.booleans())
def test_equal(seed: int, last: bool) -> None:
    nodes = [node("HardSwish", "x", "y" if last else "h"), *([] if last else [node("Neg", "h", "y")])]
    before = built(nodes, {}, [2, 3, 4])
    after = changed(hard_swish, before)
    assert kinds(after)[:2] == ["HardSigmoid", "Mul"]
    x = np.random.default_rng(seed).normal(size=(2, 3, 4), scale=4).astype(np.float32)
    np.testing.assert_allclose(run(after, x), run(before, x), atol=1e-6)
