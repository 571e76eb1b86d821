"""SIGTERM and Ctrl-C as exceptions, raised at once or at the next safe point."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.errors import EdgewrightError, Interrupted, Terminated

_WATCHED = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """The one piece of mutable state that a run shares with the operating system.

    Outside ``deferred`` a signal raises at once. Inside it waits for ``check``, so that a
    training step is never torn; a second signal does not wait.
    """

    def __init__(self) -> None:
        self._received: int | None = None
        self._depth = 0

    @contextmanager
    def installed(self) -> Iterator[StopSignal]:
        """Handle the signals for the duration; does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._receive) for number in _WATCHED}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    @property
    def received(self) -> bool:
        return self._received is not None

    def check(self) -> None:
        """Raise what was received, if anything was."""
        if self._received is not None:
            raise _error(self._received)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        second, self._received = self._received is not None, number
        if second or not self._depth:
            raise _error(number)


def _error(number: int) -> EdgewrightError:
    if number == signal.SIGTERM:
        return Terminated("stopped by SIGTERM; finished stages are kept", "run the same command again to go on")
    return Interrupted("interrupted; finished stages are kept", "run the same command again to go on")
