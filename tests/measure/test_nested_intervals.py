"""Intervals that resample sittings and their rounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.measure.statistics import median_interval, nested_intervals

SHAPES = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
SAMPLES = SHAPES.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(0.01, 100)))


@given(SAMPLES, st.floats(0.1, 10))
def test_they_hold_their_value_and_follow_their_unit(ms_SRC: np.ndarray, factor: float) -> None:
    found, other = (nested_intervals(ms, (50, 90)) for ms in (ms_SRC, ms_SRC * factor))
    assert [interval.value for interval in found] == pytest.approx([*np.percentile(ms_SRC, (50, 90)), ms_SRC.mean()])
    for one, same in zip(found, other, strict=True):
        assert ms_SRC.min() * (1 - 1e-9) <= one.low <= one.value <= one.high <= ms_SRC.max() * (1 + 1e-9)
        assert (same.low, same.high) == pytest.approx((one.low * factor, one.high * factor))


def test_samples_of_one_sitting_are_alike_and_so_promise_less() -> None:
    rng = np.random.default_rng(0)
    ms_SRC = rng.lognormal(0, 0.1, (6, 1, 1)) * rng.lognormal(0, 0.01, (6, 10, 5))
    nested, flat = nested_intervals(ms_SRC, (50,))[0], median_interval(ms_SRC.ravel())
    assert nested.high - nested.low > 3 * (flat.high - flat.low)


def test_the_mean_is_covered_about_as_often_as_it_says() -> None:
    """A bootstrap of eight sittings promises a little too much, as is known of it."""
    rng, covered = np.random.default_rng(3), 0
    for seed in range(150):
        ms_SRC = 1 + rng.normal(0, 0.05, (8, 1, 1)) + rng.normal(0, 0.02, (8, 5, 3))
        mean = nested_intervals(ms_SRC, (50,), seed)[-1]
        covered += mean.low <= 1 <= mean.high
    assert 0.86 <= covered / 150 <= 0.99


def test_the_same_samples_give_the_same_intervals() -> None:
    ms_SRC = np.random.default_rng(1).lognormal(0, 0.2, (4, 5, 3))
    assert nested_intervals(ms_SRC, (50, 99)) == nested_intervals(ms_SRC, (50, 99))
