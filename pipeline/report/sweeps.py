"""What more threads, or more images a call, bring."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.report import words
from pipeline.report.tables import Row, Shown, measured
from pipeline.results import Interval, Results, Sweep


class Swept(NamedTuple):
    """One measurement; nothing is shown where the note says why."""

    row: Row
    sweep: Sweep
    p50: Shown | None
    images: str
    speedup: Shown | None
    note: str


class Sweeps(NamedTuple):
    """One image a call with other numbers of threads, and more images a call."""

    threads: list[Swept]
    batches: list[Swept]


def sweeps(results: Results, table: list[Row]) -> Sweeps:
    every = [_swept(table[sweep.variant], sweep) for sweep in results.sweeps]
    return Sweeps(
        threads=[entry for entry in every if entry.sweep.batch == 1],
        batches=[entry for entry in every if entry.sweep.batch > 1],
    )


def _swept(row: Row, sweep: Sweep) -> Swept:
    return Swept(
        row=row,
        sweep=sweep,
        p50=measured(sweep.p50_ms) if sweep.p50_ms else None,
        images="" if sweep.images_per_s is None else words.significant(sweep.images_per_s),
        speedup=_speedup(sweep.speedup) if sweep.speedup else None,
        note=words.plain(sweep.note),
    )


def _speedup(interval: Interval) -> Shown:
    return Shown(words.multiple(interval.value), words.bounds(interval, words.multiple_places(interval.value)))
