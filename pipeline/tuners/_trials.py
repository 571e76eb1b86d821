"""Choices of float layers as files in a runtime: how right each is, and how fast against the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pipeline.artifact import Artifact
from pipeline.measure.statistics import paired_difference
from pipeline.model import Model
from pipeline.quantizers.post_training import PostTraining
from pipeline.results import Interval, Latency
from pipeline.stage import Context
from pipeline.tuners._measured import Gauge
from pipeline.tuners._search import Floats, Trial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.quantizers._calibration import Calibrated


class Judged(NamedTuple):
    """A file, and its answers against the float model's; see ``Trial``."""

    artifact: Artifact
    loss: Interval
    agreement: float


@dataclass
class Trials:
    """Makes and judges each choice once; times choices together, as often as asked.

    Attributes:
        stage: how the other layers are quantized. value: the float model. found: what calibration found of it.
    """

    stage: PostTraining
    value: Model
    context: Context
    gauge: Gauge
    found: Calibrated
    _judged: dict[Floats, Judged] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.exact = self.gauge.exported(self.value)
        self._exact_N = self._answers_N(self.exact)

    def model(self, floats: Floats) -> Model:
        """The int8 model in which those layers are float."""
        from pipeline.quantizers.quantized import quantized

        return quantized(self.value, self.stage.rounded(self.found, floats), floats)

    def judged(self, floats: Floats) -> Judged:
        """Made, checked against its own module, and asked about every validation image."""
        if floats not in self._judged:
            self.context.stop.check()
            artifact = self.gauge.exported(self.model(floats))
            answers_N, labels_N = self._answers_N(artifact), self.context.data.validation.labels_N
            found = paired_difference(self._exact_N == labels_N, answers_N == labels_N).difference
            loss = Interval(value=0.0 - found.value, low=0.0 - found.high, high=0.0 - found.low)
            self._judged[floats] = Judged(artifact, loss, float((answers_N == self._exact_N).mean()))
        return self._judged[floats]

    def measure(self, choices: Sequence[Floats]) -> list[Trial]:
        """All of them, timed in the same sittings."""
        judged = []
        for done, floats in enumerate(choices):
            judged.append(self.judged(floats))
            self.context.progress(done + 1, len(choices), f"{len(floats)} float layers")
        latencies = self.gauge.latencies([one.artifact for one in judged], self.context.progress)
        rows = zip(choices, judged, latencies, strict=True)
        return [_trial(floats, one, latency, latencies[0]) for floats, one, latency in rows]

    def against_float(self, floats: Floats) -> tuple[Latency, ...]:
        """Of the float file, of int8 everywhere and of that choice; ratios are to the first."""
        return self.gauge.latencies([self.exact, self.judged(()).artifact, self.judged(floats).artifact])

    def _answers_N(self, artifact: Artifact) -> NDArray[np.int64]:
        answers_N: NDArray[np.int64] = self.gauge.logits_NK(artifact, self.context.data.validation).argmax(1)
        return answers_N


def _trial(floats: Floats, judged: Judged, latency: Latency, first: Latency) -> Trial:
    """Its time from the ratio to the first, which was measured more precisely than either time."""
    ratio = latency.ratio
    ms = first.p50_ms.value / ratio.value
    return Trial(
        floats=floats,
        loss=judged.loss,
        agreement=judged.agreement,
        ms=ms,
        doubt_ms=ms * (ratio.high / ratio.value - 1),
    )
