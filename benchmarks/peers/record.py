"""What a run of the peers found, as data, and the table that is generated from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.report.tables import escaped, markdown_table, measured
from pipeline.report.words import bounds, multiple, multiple_places, percent, percent_places, size
from pipeline.results import Conditions, Difference, Interval, Latency
from pipeline.spec import Value

NAME, BEGINNING = "peers.json", "peers"
NONE = "—"
HEADERS = ("tool, runtime", "precision", "top-1 %", "Δ top-1, points", "same top-1 %", "p50 ms", "speed", "file")
LEFT = ("tool, runtime", "precision")


class Row(Value):
    """One peer's file of one precision.

    Attributes:
        bytes: of everything it needs to be opened.
        top1, versus_ours, agreement: against our float, on the same images; None where it was not asked.
        failure: why there is nothing more in this row.
    """

    peer: str
    title: str
    precision: str
    versions: Mapping[str, str] = {}
    note: str = ""
    bytes: int | None = None
    top1: Interval | None = None
    versus_ours: Difference | None = None
    agreement: float | None = None
    latency: Latency | None = None
    failure: str = ""


class Network(Value):
    """All rows of one network, measured in one interleaved run; the first measured one is the reference."""

    name: str
    images: int
    rows: tuple[Row, ...]
    conditions: Conditions | None = None


class Record(Value):
    """``peers.json``, and others that begin like it."""

    command: str
    created: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    threads: int
    networks: tuple[Network, ...]


def read(path: Path) -> Record:
    return Record.model_validate_json(path.read_text(encoding="utf-8"))


def markdown(record: Record) -> str:
    """A table for each network, and what must be known to read it."""
    parts = [f"`{record.command}`, {record.threads} thread{'s' * (record.threads != 1)}"]
    for network in record.networks:
        parts += [f"### {escaped(network.name)}", *_unstable(network), _table(network), *_remarks(network)]
    parts.append(
        "Brackets hold 95 % intervals. Δ is paired with our float file on the same images, speed with it in the same "
        "sittings: above 1 is faster than ours in float. *Same top-1*: "
        "the share of images that are given the same class as by our float file."
    )
    return "\n\n".join(parts) + "\n"


def _unstable(network: Network) -> list[str]:
    reasons = "; ".join(map(escaped, network.conditions.unstable)) if network.conditions else ""
    return [f"**Unstable: do not rely on these latencies.** {reasons}."] if reasons else []


def _table(network: Network) -> str:
    return markdown_table(HEADERS, [_cells(row, network.images) for row in network.rows], LEFT)


def _cells(row: Row, images: int) -> tuple[str, ...]:
    name = f"**{escaped(row.title)}**" if row.peer == "ours" else escaped(row.title)
    if row.failure:
        return (name, row.precision, *[NONE] * (len(HEADERS) - 3), "not measured")
    return (name, row.precision, *_accuracy(row, images), *_latency(row.latency), size(row.bytes or 0))


def _accuracy(row: Row, images: int) -> tuple[str, str, str]:
    if row.top1 is None or row.versus_ours is None or row.agreement is None:
        return (NONE,) * 3
    top1, difference = row.top1, row.versus_ours.difference
    decimals = percent_places(images)
    return (
        f"{percent(top1.value, images)} {bounds(top1, decimals, scale=100)}",
        f"{percent(difference.value, images, sign=True)} {bounds(difference, decimals, scale=100, sign=True)}",
        percent(row.agreement, images),
    )


def _latency(latency: Latency | None) -> tuple[str, str]:
    if latency is None:
        return (NONE,) * 2
    ratio = latency.ratio
    speed = f"{multiple(ratio.value)} {bounds(ratio, multiple_places(ratio.value))} {latency.verdict}"
    return str(measured(latency.p50_ms)), latency.verdict if latency.verdict == "reference" else speed


def _remarks(network: Network) -> list[str]:
    """One line for each row that has more to say, and the versions."""
    said = [(row, f"not measured: {row.failure}" if row.failure else row.note) for row in network.rows]
    notes = [f"- {escaped(row.title)}, {row.precision}: {escaped(text)}" for row, text in said if text]
    versions = sorted({f"{name} {version}" for row in network.rows for name, version in row.versions.items()})
    told = ", ".join(map(escaped, versions))
    return ["\n".join(notes)] * bool(notes) + [f"{network.images:,} test images; {told}."]
