"""Latency: opened anew in every sitting, visited in random order, until it is known well enough."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_clock import CALM, DISTURBED, Clock

from pipeline.errors import UsageError
from pipeline.measure.latency import (
    MOST_WARM_UP_CALLS,
    WAKING_CALLS,
    WINDOW,
    measure_latency,
    session_timer,
    timer,
    wake,
    warm_up,
)
from pipeline.measure.timings import LEAST_SITTINGS, summarize
from pipeline.study import Benchmark

SETTLED_CALLS = 2 * WINDOW  # constant calls are no longer faster in the second window


def benchmark(**fields: Any) -> Benchmark:
    """Two rounds of three calls, at most twelve sittings and any time, precise enough at once."""
    return Benchmark(**{"sittings": 12, "rounds": 2, "calls": 3, "seconds": 1e6, "precision": 0.99, **fields})


def noisy(ms: float, rng: np.random.Generator, spread: float = 0.05) -> Callable[[], float]:
    return lambda: ms * float(rng.lognormal(0, spread))


def visits(clock: Clock, variants: int, rounds: int = 2, calls: int = 3) -> list[list[int]]:
    """The variants of each round in the order they were visited, warm-up left out."""
    found, left = [], clock.calls
    while left:
        left = left[variants * SETTLED_CALLS :]
        for _ in range(rounds):
            size = WAKING_CALLS + calls
            blocks = [left[i : i + size] for i in range(0, variants * size, size)]
            assert all(len(set(block)) == 1 for block in blocks)
            found.append([block[0] for block in blocks])
            left = left[variants * size :]
    return found


def test_samples_are_the_milliseconds_of_each_call(clock: Clock) -> None:
    timings = measure_latency(clock.openers(1.5, 2.5, 3.5), benchmark())
    ms_SRVC = timings.ms_SRVC()
    assert ms_SRVC.shape == (4, 2, 3, 3)
    np.testing.assert_allclose(ms_SRVC, np.broadcast_to([[1.5], [2.5], [3.5]], ms_SRVC.shape))
    assert timings.seconds == pytest.approx(clock.ns / 1e9)


def test_every_round_visits_all_in_a_new_order(clock: Clock) -> None:
    measure_latency(clock.openers(*[1.0] * 5), benchmark(least_calls=12 * 2 * 3))
    rounds = visits(clock, 5)
    assert len(rounds) == 12 * 2
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in rounds)
    assert len({tuple(order) for order in rounds}) > 15
    assert {order[0] for order in rounds} == {0, 1, 2, 3, 4}


def test_the_order_follows_the_seed(clock: Clock) -> None:
    orders = []
    for seed in (1, 1, 2):
        clock.calls.clear()
        clock.opened.clear()
        measure_latency(clock.openers(*[1.0] * 4), benchmark(), seed)
        orders.append((clock.calls.copy(), clock.opened.copy()))
    assert orders[0] == orders[1] != orders[2]


def test_every_file_is_opened_again_in_each_sitting_in_random_order(clock: Clock) -> None:
    timings = measure_latency(clock.openers(*[1.0] * 4), benchmark(least_calls=8 * 6))
    assert timings.openings_V.tolist() == [8] * 4
    orders = [tuple(clock.opened[i : i + 4]) for i in range(0, 32, 4)]
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len(set(orders)) > 3


def test_a_file_that_is_slow_to_open_stays_open(clock: Clock) -> None:
    openers = [clock.opener(0, lambda: 1.0), clock.opener(1, lambda: 1.0, opening_ms=400)]
    assert measure_latency(openers, benchmark()).openings_V.tolist() == [4, 1]


def test_unless_timing_it_takes_longer_still(clock: Clock) -> None:
    openers = [clock.opener(0, lambda: 1.0), clock.opener(1, lambda: 100.0, opening_ms=400)]  # six calls a sitting
    assert measure_latency(openers, benchmark()).openings_V.tolist() == [4, 4]


@pytest.mark.parametrize(
    ("ms", "calls"),
    [
        ([5.0] * 99, 2 * WINDOW),
        ([9.0] * 4 + [5.0] * 99, 3 * WINDOW),
        ([9.0] * 4 + [7.0] * 4 + [6.0] * 4 + [5.9] * 99, 4 * WINDOW),
        ([3.0] * 4 + [9.0] * 99, 2 * WINDOW),
        ([0.9**index for index in range(99)], MOST_WARM_UP_CALLS),
        ([900.0 * 0.9**index for index in range(99)], WINDOW),  # more than three seconds
    ],
)
def test_warm_up_stops_when_calls_stop_getting_faster(ms: list[float], calls: int, clock: Clock) -> None:
    each = iter(ms)
    assert warm_up(timer(lambda: clock.pass_ms(next(each)))) == calls


@pytest.mark.parametrize(("ms", "calls"), [(0.2, WAKING_CALLS), (1.2, WAKING_CALLS), (4.0, 3), (10.5, 1), (900.0, 1)])
def test_waking_is_eight_calls_or_ten_milliseconds(ms: float, calls: int, clock: Clock) -> None:
    called: list[None] = []
    wake(timer(lambda: (called.append(None), clock.pass_ms(ms))))
    assert len(called) == calls


def test_cold_calls_after_another_variant_are_not_timed(clock: Clock) -> None:
    last: list[int] = []

    def call(variant: int) -> float:
        """Four milliseconds after another variant, then two, then one."""
        since = next((i for i, other in enumerate(reversed(last)) if other != variant), 9)
        last.append(variant)
        return max(1.0, 4.0 / 2**since)

    timings = measure_latency([clock.opener(index, lambda index=index: call(index)) for index in range(2)], benchmark())
    np.testing.assert_allclose(timings.ms_SRVC(), 1.0)


def test_the_warm_up_is_told_and_not_timed(clock: Clock) -> None:
    timings = measure_latency(clock.openers(0.5, 1.0), benchmark())
    assert [sitting.warm_up_V.tolist() for sitting in timings.sittings] == [[SETTLED_CALLS] * 2] * 4
    timed = 4 * 2 * (WAKING_CALLS + 3)
    assert Counter(clock.calls) == {0: 4 * SETTLED_CALLS + timed, 1: 4 * SETTLED_CALLS + timed}


def test_it_goes_on_until_it_is_precise(clock: Clock) -> None:
    rng = np.random.default_rng(0)

    def sittings(precision: float) -> int:
        openers = [clock.opener(index, noisy(1.0, rng, 0.1)) for index in range(3)]
        timings = measure_latency(openers, benchmark(sittings=200, precision=precision))
        assert timings.precision(0) <= precision
        return len(timings.sittings)

    rough, fine = sittings(0.2), sittings(0.02)
    assert LEAST_SITTINGS <= rough < fine < 200


def test_it_stops_at_the_most_sittings(clock: Clock) -> None:
    rng = np.random.default_rng(0)
    openers = [clock.opener(index, noisy(1.0, rng, 0.5)) for index in range(2)]
    assert len(measure_latency(openers, benchmark(sittings=6, precision=1e-6)).sittings) == 6


# A sitting of two variants takes 2 * (8 + 2 * 4) = 32 calls of a tenth of a second each.
@pytest.mark.parametrize(("seconds", "sittings"), [(1.0, 4), (15.9, 4), (16.1, 5), (20.0, 6), (1e6, 12)])
def test_it_stops_when_the_time_is_up_but_not_before_four_sittings(seconds: float, sittings: int, clock: Clock) -> None:
    rng = np.random.default_rng(0)
    unsteady = [clock.opener(index, lambda: 100.0 + 0.01 * float(rng.random())) for index in range(2)]
    timings = measure_latency(unsteady, benchmark(seconds=seconds, precision=1e-9))
    assert len(timings.sittings) == sittings


def test_not_even_one_round_fits(clock: Clock) -> None:
    with pytest.raises(UsageError, match=r"benchmark\.seconds=5 is too short: one round .* takes 8 s") as caught:
        measure_latency(clock.openers(1000.0, 1000.0), benchmark(seconds=5.0))
    assert "set benchmark.seconds to 1.3e+02 or more" in caught.value.fix


@pytest.mark.parametrize(
    ("least", "sittings"),
    [({"least_calls": 6 * 9}, 9), ({"least_calls": 6 * 8 + 1}, 9), ({"least_seconds": 0.0064}, 6), ({}, 4)],
)
def test_the_least_holds_whatever_the_limits_say(least: dict[str, float], sittings: int, clock: Clock) -> None:
    limits = benchmark(seconds=0.02, sittings=5, **least)
    assert len(measure_latency(clock.openers(0.2, 1.0), limits).sittings) == sittings


def test_disturbed_sittings_are_set_aside_and_made_up_for(clock: Clock) -> None:
    clock.watched([DISTURBED, CALM, DISTURBED])
    timings = measure_latency(clock.openers(1.0, 2.0), benchmark())
    assert (len(timings.sittings), len(timings.counting)) == (6, 4)
    assert timings.unstable == ()
    assert timings.conditions(0).set_aside == 2
    assert summarize(timings, 0)[1].verdict == "slower"


def test_where_too_few_are_calm_the_result_is_unstable(clock: Clock) -> None:
    clock.watched([DISTURBED] * 9)
    timings = measure_latency(clock.openers(1.0, 2.0), benchmark())
    assert len(timings.counting) == len(timings.sittings) == 12
    [reason] = timings.unstable
    assert reason == (
        "other processes used 1.5 cores, and the host took 2% of the time, while 9 of 12 sittings were disturbed"
    )
    assert [one.verdict for one in summarize(timings, 0)] == ["reference", "unstable"]
    assert timings.conditions(0).unstable == timings.unstable


def test_progress_tells_seconds_and_how_precise_it_is(clock: Clock) -> None:
    told: list[tuple[int, int, str]] = []
    rng = np.random.default_rng(0)
    openers = [clock.opener(index, noisy(100.0, rng)) for index in range(2)]
    measure_latency(openers, benchmark(seconds=60.0), progress=lambda *said: told.append(said))
    assert [note.split(",")[0] for _, _, note in told] == [f"sitting {number}" for number in range(1, 5)]
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert {total for _, total, _ in told} == {60}
    assert "±" in told[-1][2]
    assert "±" not in told[0][2]


class FarAway:
    """A session that answers after a way of fifty milliseconds, two of which are its own."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.asked = clock, []

    def __call__(self, x_NCHW: np.ndarray) -> np.ndarray:
        self.clock.pass_ms(50.0)
        return x_NCHW

    def timer(self, x_NCHW: np.ndarray) -> Callable[[int], list[float]]:
        def time_calls(calls: int) -> list[float]:
            self.asked.append(x_NCHW)
            self.clock.pass_ms(48.0 + 2.0 * calls)
            return [2.0] * calls

        return time_calls


def test_a_session_with_a_clock_of_its_own_is_timed_by_it(clock: Clock) -> None:
    far, x_1CHW = FarAway(clock), np.zeros((1, 3, 8, 8), np.float32)
    near = clock.opener(0, lambda: 1.0)
    timings = measure_latency([near, lambda: session_timer(far, x_1CHW)], benchmark())
    np.testing.assert_allclose(timings.ms_SRVC()[:, :, 1], 2.0)
    assert summarize(timings, 0)[1].ratio.value == pytest.approx(0.5)
    assert all(asked is x_1CHW for asked in far.asked)


def test_other_sessions_are_timed_by_the_rulers_clock(clock: Clock) -> None:
    calls = []

    def session(x_NCHW: np.ndarray) -> np.ndarray:
        calls.append(x_NCHW)
        clock.pass_ms(3.0)
        return x_NCHW

    assert session_timer(session, np.zeros((1, 3, 8, 8), np.float32))(4) == [3.0] * 4
    assert len(calls) == 4


def test_no_garbage_is_collected_meanwhile(clock: Clock) -> None:
    seen: list[bool] = []
    measure_latency([clock.opener(0, lambda: seen.append(gc.isenabled()) or 1.0)], benchmark())
    assert not any(seen)
    assert gc.isenabled()


def test_garbage_collection_comes_back_after_an_error(clock: Clock) -> None:
    def broken() -> float:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        measure_latency([clock.opener(0, broken)], benchmark())
    assert gc.isenabled()


def test_real_sleeps_are_put_in_order(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.measure import latency

    monkeypatch.setattr(latency, "time", time)
    openers = [lambda ms=ms: timer(lambda: time.sleep(ms / 1000)) for ms in (8.0, 1.0, 40.0)]
    timings = measure_latency(openers, benchmark(calls=1))
    middle, quick, slow = summarize(timings, 0)
    assert quick.p50_ms.value < middle.p50_ms.value < slow.p50_ms.value
    assert timings.ms_SRVC().min() >= 1.0
