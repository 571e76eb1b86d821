"""Progress is a bar on a terminal, and in a log a line now and then."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline import progress
from pipeline.progress import plain, shown, silent


def report(terminal: bool, quiet: bool = False) -> str:
    out = io.StringIO()
    with shown(Console(file=out, force_terminal=terminal, quiet=quiet, width=100), "small · Train") as tell:
        tell(1, 4, "loss 2.000")
        tell(4, 4, "loss 1.000")
    return out.getvalue()


def test_a_terminal_sees_the_title_and_the_note() -> None:
    assert "small · Train" in report(terminal=True)
    assert "loss 1.000" in report(terminal=True)


def test_short_work_leaves_a_log_alone() -> None:
    assert report(terminal=False) == ""
    assert report(terminal=True, quiet=True) == ""
    assert silent(1, 2, "x") is None


def test_long_work_tells_a_log_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    out, seconds = io.StringIO(), [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    tell = plain(Console(file=out, width=30), "a [bold] name · Train")
    for step in range(1, 8):
        seconds[0] = 25.0 * step
        tell(step, 8, f"{step} images/s")
    assert out.getvalue() == (
        "  a [bold] name · Train: 3 of 8 (38%), 3 images/s\n  a [bold] name · Train: 6 of 8 (75%), 6 images/s\n"
    )
