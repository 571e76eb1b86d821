"""What tests let a process aside do; kept apart, so that it need not import what tests import."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

from pipeline.aside import Aside
from pipeline.errors import EdgewrightError
from pipeline.progress import Progress

CALLS: list[int] = []


def add(one: int, other: int) -> int:
    return one + other


def who() -> int:
    return os.getpid()


def length(content: bytes) -> int:
    return len(content)


def calls_so_far() -> int:
    """How often this process was asked."""
    CALLS.append(1)
    return len(CALLS)


def raise_ours(error: EdgewrightError) -> None:
    raise error


def raise_theirs(error: Exception) -> None:
    raise error


def die_by(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def read_nothing() -> None:
    """What a bug in a library does."""
    ctypes.string_at(0)


def leave(code: int) -> None:
    os._exit(code)


def leave_politely(code: int) -> None:
    sys.exit(code)


def unpicklable() -> object:
    return lambda: None


def chatter(words: str) -> str:
    """Print in every way there is, between the answers."""
    print(words)
    sys.stdout.flush()
    os.write(1, words.encode())
    ctypes.CDLL(None).puts(words.encode())
    os.system(f"echo {words}")
    return words


def count(total: int, progress: Progress) -> int:
    for done in range(total):
        progress(done + 1, total, f"note {done}")
    return total


def count_for_long(progress: Progress) -> None:
    for done in range(6000):
        progress(done, 6000)
        time.sleep(0.01)


def leave_pid_and_sleep(file: Path, seconds: float) -> None:
    file.with_suffix(".part").write_text(str(os.getpid()))
    file.with_suffix(".part").rename(file)
    time.sleep(seconds)


def parent(file: str) -> None:
    """A process with one aside that is busy, to be killed."""
    with Aside() as aside:
        aside.do(leave_pid_and_sleep, Path(file), 0.0)
        time.sleep(60)


def parent_of_a_teller(file: str) -> None:
    """A process whose aside tells it of progress, to be killed."""
    with Aside() as aside:
        aside.do(leave_pid_and_sleep, Path(file), 0.0)
        aside.do(count_for_long, progress=lambda done, total, note="": None)
