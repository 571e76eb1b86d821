"""What long work tells whoever watches: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

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
    """A progress bar with an estimate while the block runs; silent off a terminal.

    Off a terminal the run prints one plain line a stage, and that is enough for a log.
    """
    if not console.is_terminal or console.quiet:
        yield silent
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
