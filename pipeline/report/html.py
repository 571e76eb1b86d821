"""One offline HTML file: what to ship, how sure that is, and how it was made."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any, NamedTuple

from pipeline.report import plots, words
from pipeline.report.tables import Row, rows
from pipeline.results import Results, StageRecord, Variant


class Line(NamedTuple):
    """A variant's text and its numbers, which the table is sorted by."""

    row: Row
    variant: Variant


class Made(NamedTuple):
    """A file and the steps that made it; several runtimes may share it."""

    title: str
    runtimes: str
    steps: list[tuple[str, str]]


class Spent(NamedTuple):
    """One stage's time. share: of the longest stage's, in per cent."""

    stage: StageRecord
    label: str
    recipe: str
    time: str
    share: float
    facts: str


def render(results: Results) -> str:
    """The whole report as one HTML text that loads nothing from anywhere.

    It reads on a phone, in the dark, on paper, without JavaScript and with a screen reader.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(_text("report.html.j2"))
    style, script = _text("report.css"), _text("report.js")
    # Markup is what is not escaped: our own files, and a picture whose text is escaped already.
    picture = Markup(plots.pareto(results))  # noqa: S704
    return template.render(
        **_content(results),
        picture=picture,
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'",
    )


def _content(results: Results) -> dict[str, Any]:
    table = [Line(row, variant) for row, variant in zip(rows(results), results.variants, strict=True)]
    chosen = results.recommendation.variant
    return {
        "results": results,
        "table": table,
        "chosen": None if chosen is None else table[chosen],
        "reference": table[results.reference],
        "alternative": plots.alternative(results),
        "made": _made(results),
        "spent": _spent(results.stages),
        "total": words.duration(sum(stage.seconds for stage in results.stages if stage.status == "done")),
        "machine": _facts(results.machine),
        "versions": _facts(results.versions),
        "budget": _budget(results),
        "benchmark": _facts(results.benchmark),
        "study": shlex.quote(words.plain(results.study)),
        "words": words,
    }


def _made(results: Results) -> list[Made]:
    """One entry a file, in the order of the results."""
    by_file: dict[tuple[str, str], list[Variant]] = {}
    for variant in results.variants:
        by_file.setdefault((variant.recipe, variant.format), []).append(variant)
    return [
        Made(
            title=f"{words.plain(recipe)}, {words.plain(format_)}",
            runtimes=", ".join(words.plain(variant.runtime) for variant in variants),
            steps=[step for entry in variants[0].lineage for step in _steps(entry)],
        )
        for (recipe, format_), variants in by_file.items()
    ]


def _steps(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(kind, its fields) of one entry of a lineage."""
    for kind, fields in entry.items():
        yield words.plain(str(kind)), words.value(fields)


def _spent(stages: tuple[StageRecord, ...]) -> list[Spent]:
    longest = max((stage.seconds for stage in stages), default=0) or 1
    return [
        Spent(
            stage=stage,
            label=words.plain(stage.label),
            recipe=words.plain(stage.recipe),
            time=words.duration(stage.seconds),
            share=round(100 * stage.seconds / longest, 2),
            facts=words.value(stage.facts),
        )
        for stage in stages
    ]


def _facts(mapping: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs of a name and its value; a name's unit moves from its end to the value."""
    return [_fact(words.plain(str(name)), value) for name, value in mapping.items()]


def _fact(name: str, value: Any) -> tuple[str, str]:
    if name.endswith("_bytes") and isinstance(value, (int, float)):
        return name.removesuffix("_bytes").replace("_", " "), words.size(int(value))
    return name.replace("_", " "), words.value(value)


def _budget(results: Results) -> list[tuple[str, str]]:
    budget = results.budget
    latency = "no limit" if budget.max_latency_ms is None else f"{budget.max_latency_ms:g} ms"
    return [
        ("largest drop of top-1", f"{words.fixed(100 * budget.max_drop, 2)} points, judged on the validation split"),
        ("largest p50 latency", latency),
        ("largest file", "no limit" if budget.max_bytes is None else words.size(budget.max_bytes)),
    ]


def _text(name: str) -> str:
    return files("pipeline.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The source expression by which a content policy allows exactly this inline text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
