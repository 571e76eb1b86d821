"""Every step a study takes, in order, with its content key: a function of the study and, of some, the processor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.measure.machine import cpu_name
from pipeline.spec import key_of
from pipeline.stage import ARTIFACT, Recipe, Stage
from pipeline.study import Study


@dataclass(frozen=True)
class Step:
    """One stage of one recipe.

    Attributes:
        key: hash of the data, the seed and every stage up to this one.
        before: key of the step whose value it starts from; "" for none.
        teachers: keys of other recipes' models, by recipe name.
        lineage: the described stages up to this one.
    """

    recipe: str
    stage: Stage
    key: str
    before: str
    teachers: dict[str, str]
    lineage: tuple[dict[str, Any], ...]

    @property
    def label(self) -> str:
        return f"{self.recipe} · {self.stage.kind}"


def plan(study: Study, data_digest: str) -> list[Step]:
    """All steps; a recipe's come after those of the recipes it builds on and learns from."""
    origin = {"data": data_digest, "seed": study.seed}
    ends: dict[str, Step] = {}
    steps: list[Step] = []
    for recipe in study.recipes:
        last = ends.get(recipe.after)
        for stage in recipe.stages:
            last = _step(recipe, stage, last, ends, origin)
            steps.append(last)
        assert last is not None
        ends[recipe.name] = last
        steps += _exports(study, recipe, last, ends, origin)
    return steps


def _exports(study: Study, recipe: Recipe, last: Step, ends: dict[str, Step], origin: dict[str, Any]) -> Iterator[Step]:
    if last.stage.gives != ARTIFACT:
        for stage in study.exports:
            yield _step(recipe, stage, last, ends, origin)


def _step(recipe: Recipe, stage: Stage, last: Step | None, ends: dict[str, Step], origin: dict[str, Any]) -> Step:
    teachers = {name: ends[name].key for name in stage.needs()}
    described = {
        "stage": stage.describe(),
        "before": last.key if last else origin,
        "teachers": teachers,
        # A file names its recipe, so two recipes never share one.
        "recipe": recipe.name if stage.gives == ARTIFACT else "",
        **({"processor": cpu_name()} if stage.measures else {}),
    }
    lineage = (*(last.lineage if last else ()), stage.describe())
    return Step(recipe.name, stage, key_of(described), last.key if last else "", teachers, lineage)
