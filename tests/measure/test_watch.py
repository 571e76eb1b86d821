"""What else the machine did: other processes and the host, our own work left out."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.measure.watch import OTHERS_LIMIT, STEAL_LIMIT, TICK_S, Seen, Watch, _Reading, difference

BUSY = "while True: pass"
TIMES = st.floats(0, 1e6)
READINGS = st.builds(_Reading, TIMES, TIMES, TIMES, TIMES, st.integers(1, 64))


def reading(at: float, busy: float = 0.0, stolen: float = 0.0, own: float = 0.0, cores: int = 2) -> _Reading:
    return _Reading(at, busy, stolen, own, cores)


def test_by_hand() -> None:
    before = reading(10.0, busy=100.0, stolen=5.0, own=40.0)
    after = reading(20.0, busy=112.0 + TICK_S, stolen=6.0, own=47.0)  # 12 s busy, 7 of them ours, 1 of 20 stolen
    seen = difference(before, after)
    assert (seen.seconds, seen.others, seen.steal) == pytest.approx((10.0, 0.5, 0.05))
    assert seen.disturbed


def test_our_own_work_is_no_disturbance() -> None:
    seen = difference(reading(0.0), reading(10.0, busy=20.0, own=20.0))
    assert seen == Seen(10.0, 0.0, 0.0)
    assert not seen.disturbed


def test_a_tick_that_falls_into_a_short_time_is_no_disturbance() -> None:
    assert not difference(reading(0.0), reading(0.002, busy=TICK_S, own=0.002)).disturbed
    assert difference(reading(0.0), reading(0.1, busy=0.1 + 6 * TICK_S, own=0.1)).disturbed


def test_nothing_is_less_than_nothing() -> None:
    """The system counts in ticks, so that our own share may be the larger one."""
    assert difference(reading(0.0, stolen=1.0), reading(0.005, own=0.005, stolen=0.99)) == Seen(0.005, 0.0, 0.0)
    assert difference(reading(5.0), reading(5.0)).others == 0.0


@given(READINGS, READINGS)
def test_any_two_readings_give_something(before: _Reading, after: _Reading) -> None:
    seen = difference(before, after)
    assert seen.seconds > 0
    assert seen.others >= 0
    assert seen.steal >= 0


@pytest.mark.parametrize(
    ("others", "steal", "disturbed"),
    [(OTHERS_LIMIT, STEAL_LIMIT, False), (OTHERS_LIMIT + 0.01, 0.0, True), (0.0, STEAL_LIMIT + 0.01, True)],
)
def test_the_limits(others: float, steal: float, disturbed: bool) -> None:
    assert Seen(1.0, others, steal).disturbed == disturbed


@contextmanager
def strangers() -> Iterator[None]:
    """A busy process that is nobody's child here: its parent, which started it, has ended."""
    null = "stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL"
    start = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {BUSY!r}], {null}).pid)"
    pid = int(subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=True).stdout)
    try:
        yield
    finally:
        import psutil

        psutil.Process(pid).kill()


def busy_for(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_busy_process_is_seen() -> None:
    """About a core; less where the machine has none to spare, more where others are busy too."""
    with strangers(), Watch() as watch:
        time.sleep(1.0)
    assert watch.seen.others > 0.2
    assert watch.seen.seconds >= 1.0


def test_our_own_children_count_as_ours() -> None:
    child = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        before = _own()
        time.sleep(1.0)
        assert _own() - before > 0.2
    finally:
        child.kill()
        child.wait()


def test_our_own_time_is_counted() -> None:
    before = _own()
    busy_for(0.3)
    assert _own() - before >= 0.29


def _own() -> float:
    from pipeline.measure.watch import _read

    return _read().own
