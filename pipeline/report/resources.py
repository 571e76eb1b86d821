"""What a variant costs besides time an image: bytes, memory, energy, the first answer, and what was possible."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.report import words
from pipeline.report.tables import Row, Shown, measured
from pipeline.results import Interval, Results, Variant


class Cell(NamedTuple):
    """A table's cell: what is shown, and what the table is sorted by; nothing where it was not measured."""

    shown: Shown | None
    order: float | None


class Resources(NamedTuple):
    row: Row
    cells: tuple[Cell, ...]


HEADERS = (
    *("File", "Compressed", "Params", "MACs", "Cold start, ms", "Load, ms", "First answer, ms"),
    *("Peak memory", "Energy, mJ", "Share of the limit"),
)


def resources(results: Results, table: list[Row]) -> list[Resources]:
    """One entry a variant, with a cell for each of ``HEADERS``."""
    pairs = zip(table, results.variants, strict=True)
    return [Resources(row, (*_size(variant), *_start(variant), *_effort(variant))) for row, variant in pairs]


def _size(variant: Variant) -> tuple[Cell, ...]:
    sizes = (variant.file_bytes, variant.compressed_bytes)
    counts = (variant.params, variant.macs)
    return (
        *(Cell(Shown(words.size(number)), number) for number in sizes),
        *(Cell(Shown(words.count(number)), number) for number in counts),
    )


def _start(variant: Variant) -> tuple[Cell, ...]:
    footprint = variant.footprint
    if footprint is None:
        return (Cell(None, None),) * 4
    grown = f"+{words.size(footprint.grown_bytes)}"
    times = (footprint.cold_start_ms, footprint.load_ms, footprint.first_ms)
    return (*map(_time, times), Cell(Shown(words.size(footprint.peak_bytes), grown), footprint.peak_bytes))


def _time(interval: Interval) -> Cell:
    return Cell(measured(interval), interval.value)


def _effort(variant: Variant) -> tuple[Cell, ...]:
    energy, limit = variant.energy_mj, variant.limit
    used = Cell(None, None) if energy is None else Cell(Shown(words.significant(energy)), energy)
    if limit is None:
        return (used, Cell(None, None))
    floor = f"{words.significant(limit.floor_ms)} ms, {limit.bound}"
    return (used, Cell(Shown(f"{words.significant(100 * limit.share)} %", floor), limit.share))
