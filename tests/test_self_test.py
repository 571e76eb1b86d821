"""The ruler's own test: what it counts, and that it can fail."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline import self_test as module
from pipeline.measure.timings import Sitting, Timings
from pipeline.measure.watch import Seen
from pipeline.results import Interval
from pipeline.self_test import SelfTest, busy_process, self_test, slowed, small_network
from pipeline.study import Benchmark

ONE = Interval(value=1, low=1, high=1)
CALM, BUSY = Seen(1.0, 0.0, 0.0), Seen(1.0, 1.0, 0.0)


def outcome(**changed: int) -> SelfTest:
    counts = {"trials": 50, "faster": 1, "slower": 1, "found": 50, "disturbed": 0, "unstable": 50, **changed}
    return SelfTest(**counts, seconds=9.0, twins=(ONE,), planted=(ONE,))


@pytest.mark.parametrize(
    ("changed", "passed"),
    [
        ({}, True),
        ({"faster": 2, "found": 48, "unstable": 48}, True),
        ({"faster": 3}, False),
        ({"slower": 3}, False),
        ({"found": 47}, False),
        ({"unstable": 47}, False),
    ],
)
def test_it_fails_as_soon_as_a_promise_is_broken(changed: dict[str, int], passed: bool) -> None:
    found = outcome(**changed)
    assert found.passed == passed
    assert ("passed" in found.text(), "FAILED" in found.text()) == (passed, not passed)


def timings(twin: float, planted: float, seen: Seen) -> Timings:
    rng = np.random.default_rng(0)
    shape = (3, 3, 2)
    levels = np.array([1.0, twin, planted])[:, None]
    sittings = tuple(Sitting(levels * rng.lognormal(0, 0.001, shape), np.full(3, 8), seen) for _ in range(4))
    return Timings(sittings, np.full(3, 4), 1.0, "not available")


class Scripted:
    """An aside that gives what it was told to, for the quiet trials and then the busy ones."""

    def __init__(self, *given: list[Timings]) -> None:
        self.given = list(given)

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def do(self, *_: object, **__: object) -> list[Timings]:
        return self.given.pop(0)


def test_it_counts_what_the_ruler_says(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = [timings(1.0, 1.1, CALM), timings(0.9, 1.0, CALM), timings(1.1, 1.1, CALM), timings(0.9, 1.1, BUSY)]
    busy = [timings(1.0, 1.1, BUSY), timings(1.0, 1.1, CALM), timings(1.0, 1.1, BUSY), timings(1.0, 1.1, BUSY)]
    monkeypatch.setattr(module, "Aside", lambda: Scripted(quiet, busy))
    monkeypatch.setattr(module, "small_network", lambda folder: None)
    found = self_test(trials=4)
    counts = (found.faster, found.slower, found.found, found.disturbed, found.unstable)
    assert counts == (1, 1, 2, 1, 3)
    assert len(found.twins) == 4
    assert not found.passed


def test_the_real_thing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Benchmark(seconds=0.3, rounds=1, calls=1, cold_starts=0)
    monkeypatch.setattr(module, "QUIET", short)
    told = []
    found = self_test(trials=2, progress=lambda done, total, note="": told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert found.unstable == 2  # beside a whole busy core nothing looks calm
    assert len(found.planted) == 2


def test_a_slowed_session_takes_that_much_longer_and_answers_alike() -> None:
    def session(x: np.ndarray) -> np.ndarray:
        time.sleep(0.01)
        return x + 1

    x = np.zeros((1, 1, 1, 1), np.float32)
    start = time.perf_counter()
    assert slowed(session, 3.0)(x) == 1
    assert time.perf_counter() - start >= 0.03
    assert slowed(session, 1) is session


def test_the_busy_process_is_busy_and_ends() -> None:
    with busy_process():
        [child] = [c for c in psutil.Process().children() if "while True" in " ".join(c.cmdline())]
        time.sleep(0.5)
        assert sum(child.cpu_times()[:2]) > 0.05
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_the_small_network_is_an_artifact(tmp_path: Path) -> None:
    assert small_network(tmp_path).manifest.input.size == (module.EDGE, module.EDGE)
