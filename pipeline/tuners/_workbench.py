"""Combinations as models and as files in a runtime: made once, by whichever worker comes first, and judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock

from pipeline.artifact import Artifact
from pipeline.errors import CorruptFile, StageFailed
from pipeline.measure.statistics import paired_difference
from pipeline.model import Model
from pipeline.ranks import ALONE
from pipeline.results import Interval
from pipeline.spec import key_of
from pipeline.stage import Context, Stage
from pipeline.store import Store
from pipeline.tuners._combination import Combination, Tried
from pipeline.tuners._measured import Gauge

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Recipes(Protocol):
    """Whatever turns a combination into stages."""

    def stages(self, combination: Combination) -> Sequence[Stage]:
        """Those that make it of the given model, in order."""


@dataclass(frozen=True)
class Workbench:
    """Where one worker works.

    Attributes:
        value: the given model, which also teaches. store: shared by all workers.
    """

    recipes: Recipes
    value: Model
    context: Context
    gauge: Gauge
    store: Store

    @cached_property
    def original(self) -> Artifact:
        return self.gauge.exported(self.value)

    @cached_property
    def right_N(self) -> NDArray[np.bool_]:
        """Which validation images the given model's file gets right."""
        return self._right_N(self.original)

    def tried(self, combination: Combination) -> Tried:
        """Make it, export it, ask it for every validation image, and measure it beside the original."""
        try:
            artifact = self.gauge.exported(self.model(combination))
            right_N = self._right_N(artifact)
            original, own = self.gauge.latencies([self.original, artifact], self.context.progress)
        except StageFailed as error:  # this one only; the others may do
            return Tried(combination=combination, failure=error.cause)
        found = paired_difference(self.right_N, right_N).difference
        return Tried(
            combination=combination,
            top1=float(right_N.mean()),
            loss=Interval(value=0.0 - found.value, low=0.0 - found.high, high=0.0 - found.low),
            speed=own.ratio,
            p50_ms=original.p50_ms.value / own.ratio.value,
        )

    def speeds(self, combinations: Sequence[Combination]) -> list[Interval]:
        """How many times faster than the original each is, all measured in the same sittings."""
        artifacts = [self.gauge.exported(self.model(combination)) for combination in combinations]
        found = self.gauge.latencies([self.original, *artifacts], self.context.progress)
        return [latency.ratio for latency in found[1:]]

    def model(self, combination: Combination) -> Model:
        """The model of a combination; those that begin alike share their beginnings."""
        model, key = self.value, "given"
        for stage in self.recipes.stages(combination):
            key = key_of([key, stage.describe()])
            model = self._made(key, stage, model)
        return model

    def _made(self, key: str, stage: Stage, before: Model) -> Model:
        """What a stage makes; from the store where any worker has made it, and waiting for one that does."""
        self.store.root.mkdir(parents=True, exist_ok=True)
        with FileLock(self.store.root / f"{key}.lock"):
            try:
                if (entry := self.store.get(key)) is not None:
                    return Model.load(entry.folder)
            except CorruptFile:
                self.store.discard(key)
            start = time.monotonic()
            made: Model = stage(before, self._context(key))
            self.store.put(key, made.save, time.monotonic() - start, {})
            self.store.forget_checkpoint(key)
            return made

    def _context(self, key: str) -> Context:
        """For one stage: the given model is the teacher, whatever its name, and training goes on where it was."""
        return replace(self.context, checkpoint=self.store.checkpoint(key), teacher=lambda _: self.value, ranks=ALONE)

    def _right_N(self, artifact: Artifact) -> NDArray[np.bool_]:
        validation = self.context.data.validation
        right_N: NDArray[np.bool_] = self.gauge.logits_NK(artifact, validation).argmax(1) == validation.labels_N
        return right_N
