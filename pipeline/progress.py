"""What long work tells whoever watches: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console


class Progress(Protocol):
    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report that ``done`` of ``total`` steps are finished."""


def silent(done: int, total: int, note: str = "") -> None:
    """Say nothing."""


@contextmanager
def shown(console: Console, title: str) -> Iterator[Progress]:
    """A progress bar with an estimate while the block runs; off a terminal, a plain line a minute."""
    if console.quiet:
        yield silent
        return
    if not console.is_terminal:
        yield plain(console, title)
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, note="")

        def report(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield report


def plain(console: Console, title: str, every_s: float = 60.0) -> Progress:
    """Progress for a log: a line whenever ``every_s`` seconds have passed without one."""
    told = time.monotonic()

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal told
        if time.monotonic() - told >= every_s:
            told = time.monotonic()
            text = f"  {title}: {done} of {total} ({done / total:.0%}){f', {note}' if note else ''}"
            console.print(text, highlight=False, markup=False, soft_wrap=True)

    return report
