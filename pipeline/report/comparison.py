"""Two runs side by side, where that is fair."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import UsageError
from pipeline.report import words
from pipeline.report.tables import escaped, markdown_table
from pipeline.results import Interval, Results, Variant

HEADERS = ("variant", "runtime", "top-1 %", "Δ top-1, points", "p50 ms", "speed", "file")
NO_DIFFERENCE = "no difference shown"

Key = tuple[str, str, str]


def compare(a: Results, b: Results, force: bool = False) -> str:
    """Markdown that sets run ``b`` against run ``a``, variant by variant.

    Variants match by recipe, format and runtime. A difference is named only where the two 95 %
    intervals do not overlap, which is stricter than a paired test: the runs did not share rounds.

    Args:
        force: compare unlike machines or data all the same, below a warning.

    Raises:
        UsageError: the runs come from unlike machines or other data.
    """
    obstacles = _obstacles(a, b)
    if obstacles and not force:
        raise UsageError(
            f"these runs cannot be compared: {'; '.join(obstacles)}", "run both on one machine, or add --force"
        )
    first, second = _by_key(a), _by_key(b)
    warnings = [f"warning: not a fair comparison: {escaped(obstacle)}" for obstacle in obstacles]
    shared = [_cells(variant, second[key]) for key, variant in first.items() if key in second]
    table = markdown_table(HEADERS, shared, HEADERS) if shared else "The runs have no variant in common."
    blocks = [_title(a, b), *warnings, *_notes(a, b), table, *_only("first", first, second)]
    return "\n\n".join([*blocks, *_only("second", second, first)]) + "\n"


def _obstacles(a: Results, b: Results) -> list[str]:
    cpus = [words.plain(str(run.machine.get("cpu", "unknown"))) for run in (a, b)]
    digests = [words.plain(run.data_digest) for run in (a, b)]
    found = {"measured on unlike processors": cpus, "tested on other data": digests}
    return [f"{what} ({one} and {other})" for what, (one, other) in found.items() if one != other]


def _title(a: Results, b: Results) -> str:
    runs = [f"{escaped(run.study)} of {escaped(run.created)}" for run in (a, b)]
    return f"{runs[0]} → {runs[1]}"


def _notes(a: Results, b: Results) -> list[str]:
    """What else changed between the runs and may be the reason for a difference."""
    changes = [*_changes(a.versions, b.versions), *_changes(a.benchmark, b.benchmark)]
    return [f"Also changed: {', '.join(changes)}."] if changes else []


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    pairs = {key: (words.value(a.get(key)), words.value(b.get(key))) for key in sorted({*a, *b})}
    return [f"{escaped(key)} {escaped(one)} → {escaped(other)}" for key, (one, other) in pairs.items() if one != other]


def _by_key(results: Results) -> dict[Key, Variant]:
    return {(variant.recipe, variant.format, variant.runtime): variant for variant in results.variants}


def _cells(a: Variant, b: Variant) -> tuple[str, ...]:
    return (
        escaped(a.recipe),
        f"{escaped(a.runtime)} ({escaped(a.format)})",
        f"{words.percent(a.top1.value, a.images)} → {words.percent(b.top1.value, b.images)}",
        _accuracy(a, b),
        f"{words.significant(a.latency.p50_ms.value)} → {words.significant(b.latency.p50_ms.value)}",
        _latency(a.latency.p50_ms, b.latency.p50_ms),
        _size(a.file_bytes, b.file_bytes),
    )


def _accuracy(a: Variant, b: Variant) -> str:
    if words.overlap(a.top1, b.top1):
        return NO_DIFFERENCE
    return f"{words.percent(b.top1.value - a.top1.value, min(a.images, b.images), sign=True)} points"


def _latency(a: Interval, b: Interval) -> str:
    ratio = words.multiple(a.value / b.value) if b.value else "—"
    if words.overlap(a, b):
        return f"{ratio}, {NO_DIFFERENCE}"
    return f"{ratio} {'faster' if b.value < a.value else 'slower'}"


def _size(a: int, b: int) -> str:
    return f"{words.size(a)}, same" if a == b else f"{words.size(a)} → {words.size(b)}"


def _only(which: str, here: Mapping[Key, Variant], there: Mapping[Key, Variant]) -> list[str]:
    missing = [variant for key, variant in here.items() if key not in there]
    names = [f"{escaped(v.recipe)} · {escaped(v.runtime)} ({escaped(v.format)})" for v in missing]
    return [f"Only in the {which} run: {', '.join(names)}."] if names else []
