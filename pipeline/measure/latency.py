"""Latency, measured so that variants can be compared: interleaved, in random order, opened anew."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.measure.energy import Meter
from pipeline.measure.machine import measuring_alone
from pipeline.measure.timings import LEAST_SITTINGS, Sitting, Timings, precision
from pipeline.measure.watch import Watch
from pipeline.progress import Progress, silent
from pipeline.runtime import SelfTimed
from pipeline.study import Benchmark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

# A timer makes so many calls and gives the milliseconds of each; an opener opens a file for one.
Timer = Callable[[int], Sequence[float]]
Opener = Callable[[], Timer]

# Of how samples are taken: those kept from another are not comparable, and taken again.
REVISION = 2
WINDOW, SETTLED, MOST_WARM_UP_CALLS = 4, 0.95, 64
MOST_WARM_UP_S = 3.0
# After another variant: small networks need eight calls, large ones two.
WAKING_CALLS, WAKING_MS = 8, 10.0
# Opening again shows what a file's place in memory does. Slower than this, it is kept open.
SLOW_TO_OPEN_S = 0.25
MOST_PADDING_BYTES = 2**18


@dataclass
class Visited:
    """A variant while it is measured: opened again in each sitting, unless that would take longer than timing it."""

    opener: Opener
    timer: Timer | None = None
    openings: int = 0
    opening_s: float = 0.0
    timed_s: float = 0.0

    def close(self) -> None:
        """Forget the timer, where opening again is quick."""
        if self.opening_s <= max(SLOW_TO_OPEN_S, self.timed_s):
            self.timer = None

    def open(self) -> Timer:
        """The timer for the next sitting."""
        if self.timer is None:
            start = time.perf_counter()
            self.timer = self.opener()
            self.opening_s, self.openings = time.perf_counter() - start, self.openings + 1
        return self.timer


def measure_latency(
    openers: Sequence[Opener],
    benchmark: Benchmark,
    seed: int = 0,
    progress: Progress = silent,
    reference: int = 0,
) -> Timings:
    """Time every variant in every round of every sitting.

    In a sitting all files are opened in random order and warmed up; then each round visits all in
    a fresh random order, so a change of the machine's speed meets them all alike. Sittings end when
    every ratio to ``reference`` is as precise as asked for, or the time is up.

    Raises:
        UsageError: not even one round fits into ``benchmark.seconds``.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    visited = [Visited(opener) for opener in openers]
    sittings: list[Sitting] = []
    with measuring_alone(), _undisturbed(), Meter.here() as meter:
        start = time.monotonic()
        while _goes_on(sittings, time.monotonic() - start, benchmark, reference):
            sittings.append(_sitting(visited, benchmark, rng, meter))
            _tell(progress, sittings, time.monotonic() - start, benchmark, reference)
    openings = np.array([variant.openings for variant in visited])
    return Timings(tuple(sittings), openings, time.monotonic() - start, meter.state)


def timer(call: Callable[[], object]) -> Timer:
    """Times ``call`` in this process."""

    def time_calls(calls: int) -> list[float]:
        times = []
        for _ in range(calls):
            start = time.perf_counter_ns()
            call()
            times.append((time.perf_counter_ns() - start) / 1e6)
        return times

    return time_calls


def session_timer(session: Session, x_NCHW: NDArray[Any]) -> Timer:
    """Times calls with this input; by the session's own clock where it has one."""
    return session.timer(x_NCHW) if isinstance(session, SelfTimed) else timer(lambda: session(x_NCHW))


def warm_up(timed: Timer) -> int:
    """Call until a window of calls is no longer faster than the one before it; how many that took."""
    import numpy as np

    start, calls, before = time.monotonic(), 0, np.inf
    while calls < MOST_WARM_UP_CALLS:
        now, calls = float(np.median(timed(WINDOW))), calls + WINDOW
        if now > SETTLED * before or time.monotonic() - start > MOST_WARM_UP_S:
            break
        before = now
    return calls


def wake(timed: Timer) -> None:
    """Call until the caches are a variant's own again: how cold they were is the variants' doing before it."""
    ms = 0.0
    for _ in range(WAKING_CALLS):
        ms += sum(timed(1))
        if ms > WAKING_MS:
            break


def _sitting(visited: list[Visited], benchmark: Benchmark, rng: np.random.Generator, meter: Meter) -> Sitting:
    """Open all, warm up all, then the rounds; watched from the first round to the last."""
    import numpy as np

    timers, _padding = _opened(visited, rng)
    warm_up_V = np.array([warm_up(timers[index]) for index in range(len(visited))])
    ms_RVC = np.empty((benchmark.rounds, len(visited), benchmark.calls))
    with Watch() as watch:
        for ms_VC in ms_RVC:
            start = time.monotonic()
            for index in rng.permutation(len(visited)):
                wake(timers[index])
                with meter.reading(int(index)):
                    ms_VC[index] = timers[index](benchmark.calls)
            _check_limit(time.monotonic() - start, benchmark)
    for index, variant in enumerate(visited):
        variant.timed_s = float(ms_RVC[:, index].sum()) / 1e3
    return Sitting(ms_RVC, warm_up_V, watch.seen, meter.taken(len(visited)))


def _opened(visited: list[Visited], rng: np.random.Generator) -> tuple[dict[int, Timer], list[bytearray]]:
    """All timers, each file at another place in memory than before, and what keeps them apart."""
    for variant in visited:
        variant.close()  # all of them first: who opens next would get the hole that it left itself
    timers, padding = {}, []
    for index in rng.permutation(len(visited)):
        padding.append(bytearray(int(rng.integers(MOST_PADDING_BYTES))))
        timers[int(index)] = visited[index].open()
    return timers, padding


def _check_limit(round_s: float, benchmark: Benchmark) -> None:
    if round_s > benchmark.seconds:
        cause = f"benchmark.seconds={benchmark.seconds:g} is too short: one round of all variants takes {round_s:.2g} s"
        least = round_s * benchmark.rounds * LEAST_SITTINGS
        raise UsageError(cause, f"set benchmark.seconds to {2 * least:.2g} or more, or measure fewer variants")


def _goes_on(sittings: list[Sitting], seconds: float, benchmark: Benchmark, reference: int) -> bool:
    counting = [sitting for sitting in sittings if not sitting.seen.disturbed]
    if len(sittings) < LEAST_SITTINGS or not _enough(sittings, benchmark):
        return True
    with_one_more_s = seconds * (len(sittings) + 1) / len(sittings)
    if with_one_more_s > benchmark.seconds or len(sittings) >= benchmark.sittings:
        return False
    return len(counting) < LEAST_SITTINGS or precision(counting, reference) > benchmark.precision


def _enough(sittings: list[Sitting], benchmark: Benchmark) -> bool:
    """Every variant was called as often and as long as asked for."""
    calls = len(sittings) * benchmark.rounds * benchmark.calls
    seconds_V = sum(sitting.ms_RVC.sum(axis=(0, 2)) for sitting in sittings) / 1e3
    return calls >= benchmark.least_calls and bool((seconds_V >= benchmark.least_seconds).all())


def _tell(progress: Progress, sittings: list[Sitting], seconds: float, benchmark: Benchmark, reference: int) -> None:
    reached = f", ±{100 * precision(sittings, reference):.1f} %" if len(sittings) > 1 else ""
    progress(
        min(round(seconds), round(benchmark.seconds)), round(benchmark.seconds), f"sitting {len(sittings)}{reached}"
    )


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection inside a timed call."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
