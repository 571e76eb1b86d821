"""SIGTERM and Ctrl-C: at once, or at the next safe point."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from pipeline.errors import EdgewrightError, Interrupted, Terminated
from pipeline.signals import StopSignal

BOTH = pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, Interrupted)])


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@BOTH
def test_at_once_outside_of_deferred(number: int, error: type[EdgewrightError]) -> None:
    with StopSignal().installed() as stop, pytest.raises(error) as caught:
        send(number)
    assert stop.received
    assert caught.value.exit_code == 128 + number
    assert caught.value.fix


@BOTH
def test_waits_inside_of_deferred_for_a_check(number: int, error: type[EdgewrightError]) -> None:
    with StopSignal().installed() as stop, stop.deferred():
        stop.check()
        assert not stop.received
        send(number)
        assert stop.received
        with pytest.raises(error):
            stop.check()


def test_what_waited_is_still_there_after_deferred() -> None:
    with StopSignal().installed() as stop:
        with stop.deferred():
            send(signal.SIGTERM)
        with pytest.raises(Terminated):
            stop.check()


def test_a_second_signal_does_not_wait() -> None:
    with StopSignal().installed() as stop, stop.deferred():
        send(signal.SIGTERM)
        with pytest.raises(Interrupted):
            send(signal.SIGINT)


def test_deferred_may_be_nested() -> None:
    with StopSignal().installed() as stop, stop.deferred():
        with stop.deferred():
            pass
        send(signal.SIGTERM)
        assert stop.received


@pytest.mark.parametrize("fails", [False, True])
def test_handlers_are_restored(fails: bool) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        with StopSignal().installed():
            assert signal.getsignal(signal.SIGTERM) != before[0]
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_another_thread_leaves_the_handlers_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with StopSignal().installed() as stop:
            seen.extend([signal.getsignal(signal.SIGTERM), stop.received])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]
