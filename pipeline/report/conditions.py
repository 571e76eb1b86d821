"""Under which conditions the numbers were made: the machine, what disturbed it, and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report import words
from pipeline.results import Results

Facts = list[tuple[str, str]]


def measuring(results: Results) -> list[tuple[str, Facts]]:
    """Lists of facts, each with a title."""
    return [
        ("Measurement", _measurement(results)),
        ("Machine", facts(results.machine)),
        ("Benchmark", facts(results.benchmark)),
        ("Budget", _budget(results)),
    ]


def facts(mapping: Mapping[str, Any]) -> Facts:
    """Pairs of a name and its value; a name's unit moves from its end to the value."""
    return [_fact(words.plain(str(name)), value) for name, value in mapping.items()]


def _fact(name: str, value: Any) -> tuple[str, str]:
    if name.endswith("_bytes") and isinstance(value, (int, float)):
        return name.removesuffix("_bytes").replace("_", " "), words.size(int(value))
    return name.replace("_", " "), words.value(value)


def _measurement(results: Results) -> Facts:
    conditions = results.conditions
    return [
        ("stable", "no" if conditions.unstable else "yes"),
        ("time spent measuring", words.duration(conditions.seconds)),
        ("sittings that count", str(conditions.sittings)),
        ("disturbed sittings, set aside", str(conditions.set_aside)),
        ("cores used by other processes", words.fixed(conditions.others, 2)),
        ("time taken by the host", f"{words.fixed(100 * conditions.steal, 1)} %"),
        ("drift, slowest sitting to fastest", words.multiple(conditions.drift)),
        ("widest interval of a speed", f"±{words.fixed(100 * conditions.precision, 1)} %"),
        ("energy", words.plain(conditions.energy)),
    ]


def _budget(results: Results) -> Facts:
    budget = results.budget
    latency = "no limit" if budget.max_latency_ms is None else f"{budget.max_latency_ms:g} ms"
    return [
        ("largest drop of top-1", f"{words.fixed(100 * budget.max_drop, 2)} points, judged on the validation split"),
        ("largest p50 latency", latency),
        ("largest file", "no limit" if budget.max_bytes is None else words.size(budget.max_bytes)),
    ]
