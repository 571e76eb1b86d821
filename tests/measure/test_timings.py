"""What samples show: intervals that hold what they promise, drift, and what is not counted."""

from __future__ import annotations

import numpy as np
import pytest
from fake_clock import CALM, DISTURBED
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from measured import timings

from pipeline.measure.timings import DRIFT_LIMIT, LEAST_SITTINGS, Sitting, Timings, ratios, summarize, verdict
from pipeline.measure.watch import Seen
from pipeline.results import Interval

SHAPES = st.tuples(st.integers(4, 6), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3))
SAMPLES = SHAPES.flatmap(lambda shape: arrays(np.float64, shape, elements=st.floats(0.01, 100)))
SHARES = st.floats(0, 8)
SEEN = st.builds(Seen, st.floats(0.001, 99), SHARES, SHARES)


def of(*ms: float, shape: tuple[int, int, int] = (4, 5, 3), seed: int = 0, spread: float = 0.0) -> np.ndarray:
    """Samples around those milliseconds, one a variant."""
    sittings, rounds, calls = shape
    noise = np.random.default_rng(seed).lognormal(0, spread, (sittings, rounds, len(ms), calls))
    return np.array(ms)[:, None] * noise


def simulated(ratio: float, rng: np.random.Generator, sittings: int = 8) -> Timings:
    """Two variants whose every opening is a little faster or slower, on a machine whose speed wanders."""
    opening_SV = rng.lognormal(0, 0.03, (sittings, 1, 2, 1))
    speed_SR = rng.lognormal(0, 0.1, (sittings, 1, 1, 1)) * rng.lognormal(0, 0.05, (sittings, 5, 1, 1))
    calls = rng.lognormal(0, 0.02, (sittings, 5, 2, 3))
    return timings(np.array([ratio, 1.0])[:, None] * opening_SV * speed_SR * calls)


@given(SAMPLES, SEEN, st.booleans(), st.floats(0, 1e6), st.text(max_size=9))
def test_arrays_are_taken_back(ms_SRVC: np.ndarray, seen: Seen, energy: bool, seconds: float, state: str) -> None:
    joules_V = np.arange(ms_SRVC.shape[2], dtype=np.float64) if energy else None
    warm_up_V = np.arange(ms_SRVC.shape[2])
    sittings = tuple(Sitting(ms_RVC, warm_up_V, seen, joules_V) for ms_RVC in ms_SRVC)
    first = Timings(sittings, warm_up_V + 1, seconds, state.rstrip("\0"))
    again = Timings.from_arrays(first.to_arrays())
    assert (again.seconds, again.energy) == (first.seconds, first.energy)
    assert [sitting.seen for sitting in again.sittings] == [seen] * len(ms_SRVC)
    assert all((sitting.joules_V is None) == (joules_V is None) for sitting in again.sittings)
    assert first.to_arrays().keys() == again.to_arrays().keys()
    for name, array in first.to_arrays().items():
        np.testing.assert_array_equal(again.to_arrays()[name], array)


@given(SAMPLES, st.floats(0.1, 10))
def test_ratios_do_not_depend_on_the_unit_nor_on_the_speed_of_a_sitting(ms_SRVC: np.ndarray, factor: float) -> None:
    speeds_S = np.linspace(1, factor, len(ms_SRVC))[:, None, None, None]
    one, other = (ratios(timings(ms).sittings, 0) for ms in (ms_SRVC, ms_SRVC * speeds_S))
    np.testing.assert_allclose(one, other, rtol=1e-9)
    np.testing.assert_allclose(one[:, 0], 1)


def test_a_summary_by_hand() -> None:
    ms_RVC = np.array([[[1.0, 2, 9], [2, 4, 6]], [[2, 3, 4], [5, 6, 7]], [[3, 3, 3], [9, 9, 9]]])
    reference, other = summarize(timings(np.stack([ms_RVC] * 4)), 0)
    assert (reference.sittings_ms, other.sittings_ms) == ((3, 3, 3, 3), (6, 6, 6, 6))
    assert (reference.p50_ms.value, other.p50_ms.value) == (3, 6)
    assert other.p90_ms.value == pytest.approx(np.percentile([2, 4, 6, 5, 6, 7, 9, 9, 9], 90))
    assert other.mean_ms.value == pytest.approx(57 / 9)
    assert (other.calls, other.openings, other.warm_up_calls) == (36, 4, 8)
    assert other.ratio.value == pytest.approx(2 / 4)  # the fastest rounds
    assert (reference.ratio.low, reference.ratio.value, reference.ratio.high) == (1, 1, 1)
    assert (reference.verdict, other.verdict) == ("reference", "slower")


@pytest.mark.parametrize("ratio", [1.0, 1.3])
def test_a_ratio_is_covered_as_often_as_it_says(ratio: float) -> None:
    rng = np.random.default_rng(11)
    found = [simulated(ratio, rng).ratio(0, 1) for _ in range(400)]
    covered = sum(interval.low <= ratio <= interval.high for interval in found) / 400
    print(f"{covered:.1%} of the intervals hold {ratio}")
    assert 0.94 <= covered <= 0.99


def test_the_same_file_twice_is_seldom_called_faster() -> None:
    rng = np.random.default_rng(5)
    verdicts = [verdict(simulated(1.0, rng).ratio(0, 1)) for _ in range(400)]
    assert verdicts.count("faster") <= 20
    assert verdicts.count("slower") <= 20


def test_a_true_difference_is_found_although_the_machine_slows_down() -> None:
    slowing_S = np.linspace(1, 2.5, 8)[:, None, None, None]
    found = timings(of(1.1, 1.0, shape=(8, 5, 3), spread=0.01) * slowing_S)
    slow, quick = summarize(found, 0)
    assert quick.verdict == "faster"
    assert quick.ratio.low < 1.1 < quick.ratio.high
    assert quick.p50_ms.low < slow.p50_ms.high  # unpaired, nothing would show
    assert found.drift == pytest.approx(2.5, rel=0.02)


def test_precision_is_that_of_the_widest() -> None:
    found = simulated(1.0, np.random.default_rng(0))
    interval = found.ratio(0, 1)
    assert found.precision(0) == interval.high / interval.value - 1
    assert found.conditions(0).precision == found.precision(0)
    assert timings(of(1.0, 2.0)).precision(0) == pytest.approx(0)


@pytest.mark.parametrize(
    ("factor", "unstable"), [(1.0, False), (DRIFT_LIMIT * 0.99, False), (DRIFT_LIMIT * 1.01, True)]
)
def test_a_machine_that_changes_too_much(factor: float, unstable: bool) -> None:
    found = timings(of(1.0, 2.0) * np.array([1, 1, 1, factor])[:, None, None, None])
    assert found.drift == pytest.approx(factor)
    assert bool(found.unstable) == unstable
    assert [one.verdict for one in summarize(found, 0)] == ["reference", "unstable" if unstable else "slower"]


def test_disturbed_sittings_do_not_count() -> None:
    ms_SRVC = of(1.0, 2.0, shape=(LEAST_SITTINGS + 1, 5, 3))
    ms_SRVC[0] *= 100
    calm = timings(ms_SRVC[1:])
    found = Timings((timings(ms_SRVC[:1], DISTURBED).sittings[0], *calm.sittings), calm.openings_V + 1, 1.0, "none")
    assert (found.drift, found.unstable, found.ms_SRVC().shape) == (1.0, (), calm.ms_SRVC().shape)
    assert summarize(found, 0)[1].p50_ms == summarize(calm, 0)[1].p50_ms
    conditions = found.conditions(0)
    assert (conditions.sittings, conditions.set_aside, conditions.others) == (LEAST_SITTINGS, 1, 0.0)


def test_energy_is_of_the_calls_that_count() -> None:
    ms_SRVC = of(1.0, 2.0, shape=(4, 5, 3))  # 15 calls a sitting
    assert timings(ms_SRVC).energy_mj(0) is None
    found = timings(ms_SRVC, CALM, np.array([0.015, 0.045]))
    assert [found.energy_mj(variant) for variant in (0, 1)] == pytest.approx([1.0, 3.0])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1.01, 1.2, "faster"),
        (0.8, 0.99, "slower"),
        (0.9, 1.1, "no difference shown"),
        (1.0, 1.2, "no difference shown"),
        (0.8, 1.0, "no difference shown"),
        (1.0, 1.0, "no difference shown"),
    ],
)
def test_verdicts(low: float, high: float, expected: str) -> None:
    assert verdict(Interval(value=1.0, low=low, high=high)) == expected


def test_what_disturbed_is_told_of_the_disturbed_sittings() -> None:
    calm, disturbed = timings(of(1.0, 2.0)), timings(of(1.0, 2.0), DISTURBED)
    found = Timings((*calm.sittings[:3], disturbed.sittings[0]), calm.openings_V, 1.0, "none")
    [reason] = found.unstable
    assert reason.startswith("other processes used 1.5 cores, and the host took 2% of the time, while 1 of 4")
