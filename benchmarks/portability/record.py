"""What a run found, as data, and the table that is generated from it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.report.tables import escaped, markdown_table
from pipeline.report.words import bounds, fixed, percent, percent_places, significant
from pipeline.results import Difference, Interval, Parity
from pipeline.spec import Value

NAME = "portability-processors.json"
NONE = "—"
HEADERS = ("file", "processor", "same top-1 %", "largest Δ logit", "S/N dB", "top-1 %", "Δ top-1, points", "s/image")
LEFT = ("file", "processor")


class Row(Value):
    """One file on one processor.

    Attributes:
        features: those of the processor by which kernels are chosen, as the process saw them.
        parity: against the reference processor's answers to the same images.
        top1, versus_reference: where images have labels and weights are trained.
        seconds: of an image; what emulation takes, no measure of the processor.
        failure: why there is nothing more in this row.
    """

    network: str
    file: str
    processor: str
    features: tuple[str, ...] = ()
    onnxruntime: str = ""
    parity: Parity | None = None
    top1: Interval | None = None
    versus_reference: Difference | None = None
    seconds: float | None = None
    failure: str = ""


class Record(Value):
    """``portability-processors.json``."""

    command: str
    created: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    rows: tuple[Row, ...]


def read(path: Path) -> Record:
    return Record.model_validate_json(path.read_text(encoding="utf-8"))


def markdown(record: Record) -> str:
    """A table for each network, and what must be known to read it."""
    parts = [f"`{record.command}`"]
    for network, rows in groupby(record.rows, key=lambda row: row.network):
        parts += [f"### {escaped(network)}", *table(tuple(rows))]
    parts.append(
        "All against *this machine, exact*: ONNX Runtime told to use no kernel that saturates. *Equal* is equal bit "
        "for bit. Seconds are those of emulation."
    )
    return "\n\n".join(parts) + "\n"


def table(rows: tuple[Row, ...]) -> list[str]:
    """The table, which files failed and why, and what the processes saw."""
    failures = [
        f"- {escaped(row.file)}, {escaped(row.processor)}: {escaped(row.failure)}" for row in rows if row.failure
    ]
    seen = {f"{row.processor}: {', '.join(row.features) or 'none'}" for row in rows if not row.failure}
    images = max((row.parity.images for row in rows if row.parity), default=0)
    told = f"{images:,} images. Features that the processes saw: {'; '.join(map(escaped, sorted(seen)))}."
    return [markdown_table(HEADERS, list(map(_cells, rows)), LEFT), *["\n".join(failures)] * bool(failures), told]


def _cells(row: Row) -> tuple[str, ...]:
    if row.parity is None:
        return (escaped(row.file), escaped(row.processor), "not measured", *[NONE] * (len(HEADERS) - 3))
    parity = row.parity
    equal = parity.max_difference == 0
    return (
        escaped(row.file),
        escaped(row.processor),
        percent(parity.agreement, parity.images),
        "equal" if equal else significant(parity.max_difference),
        NONE if equal else fixed(parity.sqnr_db, 1),
        *_accuracy(row, parity.images),
        significant(row.seconds) if row.seconds else NONE,
    )


def _accuracy(row: Row, images: int) -> tuple[str, str]:
    if row.top1 is None or row.versus_reference is None:
        return NONE, NONE
    difference, decimals = row.versus_reference.difference, percent_places(images)
    return (
        percent(row.top1.value, images),
        f"{percent(difference.value, images, sign=True)} {bounds(difference, decimals, scale=100, sign=True)}",
    )
