"""A tuner that measures nothing: files take as long as a test says, and what the tuner tells is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipeline.dataset import Samples
from pipeline.model import Model
from pipeline.results import Interval
from pipeline.stage import Context


@dataclass(frozen=True)
class Shown:
    """What a gauge says of one file: milliseconds, and how many times faster than the first."""

    p50_ms: Interval
    ratio: Interval


def exactly(value: float) -> Interval:
    return Interval(value=value, low=0.99 * value, high=1.01 * value)


@dataclass
class ForetoldGauge:
    """A file is its model and answers as it does; how long it takes, a subclass says."""

    runtime: Any
    context: Context
    benchmark: Any

    def __enter__(self) -> ForetoldGauge:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def ms_of(self, model: Model) -> float:
        raise NotImplementedError

    def exported(self, model: Model) -> Model:
        return model

    def logits_NK(self, model: Model, samples: Samples) -> np.ndarray:
        return model.logits_NK(samples.x_NCHW())

    def latencies(self, models: Sequence[Model], _progress: Any = None) -> list[Shown]:
        times = [self.ms_of(model) for model in models]
        return [Shown(exactly(ms), exactly(times[0] / ms)) for ms in times]


@dataclass
class Told:
    """What a stage said."""

    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def context(self, context: Context, **changes: Any) -> Context:
        return replace(context, note=self.facts.__setitem__, warn=self.warnings.append, **changes)
