"""Latency: every round visits all, in random order, and a verdict only where rounds agree."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.measure import latency
from pipeline.measure.latency import WARM_UP_CALLS, measure_latency, speed_ratio, summarize, verdict
from pipeline.results import Interval
from pipeline.study import Benchmark

X = np.zeros((1, 1, 4, 4), np.float32)


class Clock:
    """Time that passes only when a session says so."""

    def __init__(self) -> None:
        self.ns, self.calls = 0, list[int]()

    def perf_counter_ns(self) -> int:
        return self.ns

    def monotonic(self) -> float:
        return self.ns / 1e9

    def session(self, index: int, ms: Callable[[], float]) -> Callable[[np.ndarray], np.ndarray]:
        def call(x_NCHW: np.ndarray) -> np.ndarray:
            assert x_NCHW is X
            self.calls.append(index)
            self.ns += round(ms() * 1e6)
            return x_NCHW

        return call


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(latency, "time", made)
    monkeypatch.setattr(gc, "collect", lambda: 0)  # takes a third of a second in a large process
    return made


def benchmark(rounds: int = 8, calls: int = 3, seconds: float = 1e6) -> Benchmark:
    return Benchmark(rounds=rounds, calls=calls, seconds=seconds)


def noisy(ms: float, rng: np.random.Generator, spread: float = 0.05) -> Callable[[], float]:
    return lambda: ms * float(rng.lognormal(0, spread))


def rounds_of(clock: Clock, sessions: int, calls: int) -> list[list[int]]:
    """The sessions of each round in the order they were visited, warm-up left out."""
    visits = clock.calls[sessions * WARM_UP_CALLS :]
    blocks = [visits[i : i + calls + 1] for i in range(0, len(visits), calls + 1)]
    assert all(len(set(block)) == 1 for block in blocks)
    order = [block[0] for block in blocks]
    return [order[i : i + sessions] for i in range(0, len(order), sessions)]


def test_samples_are_the_milliseconds_of_each_call(clock: Clock) -> None:
    ms_RSC = measure_latency([clock.session(i, lambda i=i: i + 1.5) for i in range(3)], X, benchmark())
    assert ms_RSC.shape == (8, 3, 3)
    np.testing.assert_allclose(ms_RSC, np.broadcast_to([[1.5], [2.5], [3.5]], ms_RSC.shape))


def test_every_round_visits_all_in_a_new_order(clock: Clock) -> None:
    measure_latency([clock.session(i, lambda: 1.0) for i in range(5)], X, benchmark(rounds=20))
    rounds = rounds_of(clock, 5, 3)
    assert len(rounds) == 20
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in rounds)
    assert len({tuple(order) for order in rounds}) > 10
    assert {order[0] for order in rounds} == {0, 1, 2, 3, 4}


def test_the_order_follows_the_seed(clock: Clock) -> None:
    orders = []
    for seed in (1, 1, 2):
        clock.calls.clear()
        measure_latency([clock.session(i, lambda: 1.0) for i in range(4)], X, benchmark(), seed)
        orders.append(clock.calls.copy())
    assert orders[0] == orders[1] != orders[2]


def test_everyone_is_warmed_up_first(clock: Clock) -> None:
    measure_latency([clock.session(i, lambda: 1.0) for i in range(3)], X, benchmark())
    assert clock.calls[: 3 * WARM_UP_CALLS] == [i for i in range(3) for _ in range(WARM_UP_CALLS)]


# A round of two sessions takes 2 * (3 + 1) calls of a second each.
@pytest.mark.parametrize(("seconds", "rounds"), [(0.001, 5), (39.0, 5), (41.0, 6), (55.0, 7), (1e6, 8)])
def test_the_time_limit_after_five_rounds(seconds: float, rounds: int, clock: Clock) -> None:
    sessions = [clock.session(i, lambda: 1000.0) for i in range(2)]
    assert len(measure_latency(sessions, X, benchmark(seconds=seconds))) == rounds


def test_progress_counts_rounds(clock: Clock) -> None:
    told: list[tuple[int, int]] = []
    session = clock.session(0, lambda: 1.0)
    measure_latency([session], X, benchmark(rounds=6), progress=lambda done, total, note="": told.append((done, total)))
    assert told == [(done, 6) for done in range(1, 7)]


def test_no_garbage_is_collected_meanwhile(clock: Clock) -> None:
    seen: list[bool] = []
    measure_latency([clock.session(0, lambda: seen.append(gc.isenabled()) or 1.0)], X, benchmark())
    assert not any(seen)
    assert gc.isenabled()


def test_garbage_collection_comes_back_after_an_error(clock: Clock) -> None:
    def broken(_: np.ndarray) -> np.ndarray:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        measure_latency([broken], X, benchmark())
    assert gc.isenabled()


def test_real_sleeps_are_put_in_order() -> None:
    def sleeping(ms: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda x: time.sleep(ms / 1000) or x  # type: ignore[func-returns-value]

    ms_RSC = measure_latency([sleeping(ms) for ms in (4.0, 1.0, 12.0)], X, benchmark(rounds=7, calls=2))
    middle, quick, slow = summarize(ms_RSC, 0)
    assert quick.p50_ms.value < middle.p50_ms.value < slow.p50_ms.value
    assert (middle.verdict, quick.verdict, slow.verdict) == ("reference", "faster", "slower")
    assert ms_RSC.min() >= 1.0


def test_a_summary_is_of_the_rounds() -> None:
    ms_RSC = np.array([[[1.0, 2, 9], [2, 4, 6]], [[2, 3, 4], [5, 6, 7]], [[3, 3, 3], [9, 9, 9]]])
    reference, other = summarize(ms_RSC, 0)
    assert (reference.rounds_ms, other.rounds_ms) == ((2, 3, 3), (4, 6, 9))
    assert (reference.p50_ms.value, other.p50_ms.value) == (3, 6)
    assert other.p90_ms == pytest.approx(np.percentile([2, 4, 6, 5, 6, 7, 9, 9, 9], 90))
    assert other.ratio.value == 0.5
    assert (reference.ratio.low, reference.ratio.value, reference.ratio.high) == (1, 1, 1)


def test_a_machine_that_slows_down_does_not_hide_a_tenth(clock: Clock) -> None:
    rng = np.random.default_rng(0)
    slowing = [
        clock.session(i, lambda f=f: f * (1 + clock.ns / 5e8) * rng.lognormal(0, 0.02)) for i, f in enumerate((1.1, 1))
    ]
    ms_RSC = measure_latency(slowing, X, benchmark(rounds=40, calls=5))
    assert ms_RSC[-1].mean() > 2 * ms_RSC[0].mean()
    quick = summarize(ms_RSC, 0)[1]
    assert quick.verdict == "faster"
    assert quick.ratio.low < 1.1 < quick.ratio.high
    assert quick.p50_ms.low < summarize(ms_RSC, 0)[0].p50_ms.high  # unpaired, nothing would show


def test_an_identical_pair_mostly_shows_no_difference(clock: Clock) -> None:
    rng, verdicts = np.random.default_rng(0), list[str]()
    for seed in range(100):
        sessions = [clock.session(i, noisy(1.0, rng)) for i in range(2)]
        verdicts.append(summarize(measure_latency(sessions, X, benchmark(rounds=20), seed), 0)[1].verdict)
    assert verdicts.count("no difference shown") >= 88


def test_a_true_difference_is_found_in_either_direction(clock: Clock) -> None:
    rng = np.random.default_rng(4)
    ms_RSC = measure_latency([clock.session(i, noisy(ms, rng)) for i, ms in enumerate((2, 1, 4))], X, benchmark(20))
    assert [one.verdict for one in summarize(ms_RSC, 0)] == ["reference", "faster", "slower"]
    assert [one.verdict for one in summarize(ms_RSC, 2)] == ["faster", "faster", "reference"]


def test_speed_is_a_multiple_of_the_base() -> None:
    assert speed_ratio(np.array([2.0, 4.0]), np.array([1.0, 2.0])).value == 2


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
    assert verdict(Interval(value=(low + high) / 2, low=low, high=high)) == expected
