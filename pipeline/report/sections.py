"""What one run's part of the page shows, section by section."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipeline.predictions import Predictions
from pipeline.report import plots, words
from pipeline.report.conditions import facts, measuring
from pipeline.report.details import Accuracy, accuracy, fitting
from pipeline.report.layers import Layers, layers
from pipeline.report.resources import Resources, resources
from pipeline.report.searches import FACT, Search, searches
from pipeline.report.sweeps import Sweeps, sweeps
from pipeline.report.tables import Row, rows, unmeasured
from pipeline.results import Results, StageRecord, Variant


class Line(NamedTuple):
    """A variant's text and its numbers, which the table is sorted by. made: its stages, in order."""

    row: Row
    variant: Variant
    made: str


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


class Run(NamedTuple):
    """One machine's part of the page.

    Attributes:
        name: of the machine. prefix: begins every id of this part.
        picture: an SVG, escaped already. alternative: the same in words.
    """

    name: str
    prefix: str
    results: Results
    predictions: bool
    table: list[Line]
    chosen: Line | None
    reference: Line
    picture: str
    alternative: str
    failures: list[str]
    resources: list[Resources]
    accuracy: Accuracy
    searches: list[Search]
    layers: Layers
    sweeps: Sweeps
    made: list[Made]
    spent: list[Spent]
    total: str
    conditions: list[tuple[str, list[tuple[str, str]]]]
    versions: list[tuple[str, str]]
    study: str


def run_of(results: Results, predictions: Predictions | None, *, name: str, number: int) -> Run:
    """Everything the templates need to know of one run."""
    from markupsafe import Markup

    prefix = "" if number == 0 else f"machine-{number + 1}-"
    texts, known = rows(results), fitting(results, predictions)
    table = [Line(row, variant, _stages(variant)) for row, variant in zip(texts, results.variants, strict=True)]
    chosen = results.recommendation.variant
    return Run(
        name=name,
        prefix=prefix,
        results=results,
        predictions=known is not None,
        table=table,
        chosen=None if chosen is None else table[chosen],
        reference=table[results.reference],
        picture=Markup(plots.pareto(results, f"{prefix}pareto-")),  # noqa: S704  its text is escaped already
        alternative=plots.alternative(results),
        failures=[unmeasured(failure) for failure in results.failures],
        resources=resources(results, texts),
        accuracy=accuracy(results, known, texts),
        searches=searches(results, prefix),
        layers=layers(results.layers),
        sweeps=sweeps(results, texts),
        made=_made(results),
        spent=_spent(results.stages),
        total=words.duration(sum(stage.seconds for stage in results.stages if stage.status == "done")),
        conditions=measuring(results),
        versions=facts(results.versions),
        study=shlex.quote(words.plain(results.study)),
    )


def _stages(variant: Variant) -> str:
    """The kinds of its stages; what is not a stage, such as the data's digest, has a small letter."""
    kinds = [words.plain(str(kind)) for entry in variant.lineage for kind in entry]
    return " → ".join(kind for kind in kinds if not kind[:1].islower())


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
            facts=words.value({name: fact for name, fact in stage.facts.items() if name != FACT}),
        )
        for stage in stages
    ]
