"""A session answers for every image, once, in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataset import DataSet, Samples
from pipeline.images import Held
from pipeline.measure.accuracy import ANY_BATCH, answers
from pipeline.spec import InputSpec

SPEC = InputSpec(size=(1, 1), resize=1, color="L", mean=(0.0,), std=(1.0,))


def numbered(count: int) -> Samples:
    """Image number i is one pixel of value i."""
    return Samples(Held(np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)), np.zeros(count, np.int64), SPEC)


@given(st.integers(1, 200), st.integers(0, 70))
def test_every_image_once_in_order(count: int, batch: int) -> None:
    sizes: list[int] = []

    def session(x_NCHW: np.ndarray) -> np.ndarray:
        sizes.append(len(x_NCHW))
        return np.stack([x_NCHW[:, 0, 0, 0] * 255, np.ones(len(x_NCHW))], 1)

    logits_NK = answers(session, numbered(count), batch)
    np.testing.assert_allclose(logits_NK[:, 0], np.arange(count), atol=1e-4)
    assert logits_NK.shape == (count, 2)
    assert sum(sizes) == count
    assert set(sizes[:-1]) <= {batch or ANY_BATCH}


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_the_batch_does_not_change_the_answers(batch: int, digits: DataSet) -> None:
    weights = np.random.default_rng(0).normal(size=(256, 10)).astype(np.float32)
    samples = digits.splits.validation
    found = answers(lambda x_NCHW: x_NCHW.reshape(len(x_NCHW), -1) @ weights, samples, batch)
    np.testing.assert_allclose(found, samples.x_NCHW().reshape(len(samples), -1) @ weights, atol=1e-4)
