"""Latency, measured so that variants can be compared: interleaved, in random order."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from pipeline.measure.statistics import median_interval
from pipeline.progress import Progress, silent
from pipeline.results import Interval, Latency
from pipeline.study import Benchmark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

Verdict = Literal["faster", "slower", "no difference shown", "reference"]
WARM_UP_CALLS = 10
LEAST_ROUNDS = 5


def measure_latency(
    sessions: Sequence[Session],
    x_1CHW: NDArray[np.float32],
    benchmark: Benchmark,
    seed: int = 0,
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """Time every session in every round.

    Each round visits all sessions in a fresh random order, so a change of the machine's speed
    meets them all alike. Rounds end when the benchmark's number or its seconds are reached.

    Returns:
        milliseconds of every call: (rounds, sessions, calls).
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    rounds: list[NDArray[np.float64]] = []
    with _undisturbed():
        for session in sessions:
            _time_calls(session, x_1CHW, WARM_UP_CALLS)
        end = time.monotonic() + benchmark.seconds
        while len(rounds) < benchmark.rounds and (len(rounds) < LEAST_ROUNDS or time.monotonic() < end):
            ms_SC = np.empty((len(sessions), benchmark.calls))
            for index in rng.permutation(len(sessions)):
                _time_calls(sessions[index], x_1CHW, 1)  # the caches are another variant's
                ms_SC[index] = _time_calls(sessions[index], x_1CHW, benchmark.calls)
            rounds.append(ms_SC)
            progress(len(rounds), benchmark.rounds, f"round {len(rounds)}")
    return np.stack(rounds)


def _time_calls(session: Session, x_1CHW: NDArray[np.float32], calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        start = time.perf_counter_ns()
        session(x_1CHW)
        times.append((time.perf_counter_ns() - start) / 1e6)
    return times


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection inside a timed call."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def summarize(ms_RSC: NDArray[np.float64], reference: int) -> list[Latency]:
    """One ``Latency`` a session from the raw samples, compared with session ``reference``."""
    import numpy as np

    medians_RS = np.median(ms_RSC, axis=2)
    return [
        Latency(
            p50_ms=median_interval(medians_RS[:, index]),
            p90_ms=float(np.percentile(ms_RSC[:, index], 90)),
            ratio=(ratio := speed_ratio(medians_RS[:, reference], medians_RS[:, index])),
            verdict="reference" if index == reference else verdict(ratio),
            rounds_ms=tuple(round(float(value), 5) for value in medians_RS[:, index]),
        )
        for index in range(ms_RSC.shape[1])
    ]


def speed_ratio(base_R: NDArray[np.float64], other_R: NDArray[np.float64]) -> Interval:
    """How many times faster ``other`` is than ``base``: the median of the rounds' ratios."""
    return median_interval(base_R / other_R)


def verdict(ratio: Interval) -> Verdict:
    """What a ratio's interval shows: nothing, where it contains 1."""
    if ratio.low > 1:
        return "faster"
    return "slower" if ratio.high < 1 else "no difference shown"
