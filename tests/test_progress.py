"""Progress is for terminals; elsewhere it says nothing."""

from __future__ import annotations

import io

from rich.console import Console

from pipeline.progress import shown, silent


def report(terminal: bool, quiet: bool = False) -> str:
    out = io.StringIO()
    with shown(Console(file=out, force_terminal=terminal, quiet=quiet, width=100), "small · Train") as progress:
        progress(1, 4, "loss 2.000")
        progress(4, 4, "loss 1.000")
    return out.getvalue()


def test_a_terminal_sees_the_title_and_the_note() -> None:
    assert "small · Train" in report(terminal=True)
    assert "loss 1.000" in report(terminal=True)


def test_a_log_sees_nothing() -> None:
    assert report(terminal=False) == ""
    assert report(terminal=True, quiet=True) == ""
    assert silent(1, 2, "x") is None
