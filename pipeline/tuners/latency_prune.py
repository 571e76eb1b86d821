"""Channels removed until a network takes as many milliseconds as it may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.artifact import Artifact
from pipeline.errors import StageFailed
from pipeline.model import Model
from pipeline.pruners.importance import Importance
from pipeline.quantizers.post_training import PostTraining
from pipeline.results import Interval
from pipeline.runtime import AnyRuntime, Runtime
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.spec import Positive
from pipeline.stage import Context, Stage
from pipeline.tuners._aim import LANDED, TRIES, Attempt, Cut, Unreachable, approach, nearest
from pipeline.tuners._measured import QUICK, Gauge
from pipeline.tuners._timed_layers import Bench, timed_layers
from pipeline.tuners._widths import Costs, narrowest, widths_within

if TYPE_CHECKING:
    from pipeline.tuners._prunable import Prunable


class LatencyPrune(Stage):
    """Remove the channels that cost most time for their importance, until a latency is reached.

    Every layer is timed at several widths in the runtime, once a machine. Of all widths that are fast enough,
    those are taken that keep most importance, as a product of the groups' shares (after HALP, Shen et al., 2022).
    The network is exported and measured beside the original, and what was chosen is corrected. Follow it with
    ``Train`` or ``Distill`` to win the accuracy back.

    Attributes:
        target_ms: latency of one image to reach, in milliseconds.
        target_ratio: the same as a share of the present latency; one of the two is given.
        runtime: where it is measured; one that tells what each operator takes.
        precision: "int8" for a network that will be quantized: it is timed as it will be then.
        threads: of the runtime.
        round_to: kept widths are multiples of this.
        importance: how channels are scored, as in ``Prune``.
    """

    measures: ClassVar[bool] = True
    target_ms: Annotated[float, Field(gt=0)] | None = None
    target_ratio: Annotated[float, Field(gt=0, lt=1)] | None = None
    runtime: AnyRuntime = OnnxRuntime()
    precision: Literal["float", "int8"] = "float"
    threads: Positive = 1
    round_to: Positive = 8
    importance: Importance = "l2"

    @model_validator(mode="after")
    def _one_target(self) -> LatencyPrune:
        if (self.target_ms is None) == (self.target_ratio is None):
            raise ValueError("give one of target_ms and target_ratio")
        if type(self.runtime).profile is Runtime.profile:
            raise ValueError(f"{self.runtime.kind} does not tell what each operator takes, by which widths are chosen")
        return self

    @property
    def bench(self) -> Bench:
        """Where layers are timed."""
        return Bench(self.runtime, self.precision == "int8", self.threads)

    def as_timed(self, model: Model, context: Context) -> Model:
        """The model, or its int8 twin: how its weights are rounded does not matter to its speed."""
        if self.precision == "float":
            return model
        return PostTraining(rounding="nearest", correct_bias=False)(model, context)

    def __call__(self, value: Model, context: Context) -> Model:
        from pipeline.tuners._prunable import Prunable

        prunable = Prunable.of(value, self.importance, self.round_to, context)
        with Gauge(self.runtime, context, QUICK.model_copy(update={"threads": self.threads})) as gauge:
            cutter = Cutter(self, prunable, context, gauge)
            present_ms = cutter.present_ms
            target = self.target_ratio or (self.target_ms or 0.0) / present_ms
            if target >= 1:
                context.warn(f"{present_ms:.3g} ms are less than {self.target_ms:g} ms already: nothing was removed")
                return value
            try:
                attempts = approach(cutter.choose, cutter.measure, target)
            except Unreachable as error:
                raise StageFailed(*self._least(error.least, present_ms)) from None
        best = nearest(attempts, target)
        context.note("aim", told(attempts, best, target, present_ms))
        if best.speed.value <= 1:
            context.warn("no narrower network was measured faster: nothing was removed")
            return value
        if best.misses(target) > LANDED:
            context.warn(missed(attempts, best, target))
        return prunable.pruned(best.cut.widths)

    def _least(self, least: Attempt, present_ms: float) -> tuple[str, str]:
        """That a target is out of reach, and what can be had."""
        what = f"{self.target_ms:g} ms" if self.target_ms else f"{self.target_ratio:g} of the present latency"
        cause = (
            f"{what} is less than any widths take: the narrowest network takes "
            f"{least.share * present_ms:.3g} ms, {least.share:.2f} of the present {present_ms:.3g} ms"
        )
        return (
            cause,
            f"aim at {least.share:.2f} or more, lower round_to from {self.round_to}, or start from a smaller model",
        )


@dataclass(frozen=True)
class Cutter:
    """Networks of other widths than the original's: chosen by the table, and measured beside it."""

    stage: LatencyPrune
    prunable: Prunable
    context: Context
    gauge: Gauge

    @cached_property
    def original(self) -> Artifact:
        return self.gauge.exported(self.stage.as_timed(self.prunable.model, self.context))

    @cached_property
    def present_ms(self) -> float:
        """What the original takes now."""
        return self.gauge.latencies([self.original])[0].p50_ms.value

    @cached_property
    def costs(self) -> Costs:
        table = timed_layers(self.prunable.layers, self.stage.round_to, self.stage.bench, self.context.progress)
        return Costs(self.prunable.layers, table)

    def choose(self, share: float) -> Cut:
        """Worth most of all that should take that share of the original's time, or else the narrowest."""
        units, whole_ms = self.prunable.units, self.costs.ms({})
        widths = widths_within(units, self.costs, share * whole_ms) or narrowest(units)
        return Cut(widths, self.costs.ms(widths) / whole_ms)

    def measure(self, cut: Cut) -> Interval:
        """The original's latency / that of the network with these widths."""
        self.context.stop.check()
        artifact = self.gauge.exported(self.stage.as_timed(self.prunable.pruned(cut.widths), self.context))
        return self.gauge.latencies([self.original, artifact], self.context.progress)[1].ratio


def told(attempts: Sequence[Attempt], best: Attempt, target: float, present_ms: float) -> dict[str, Any]:
    """The search as JSON-ready facts: shares are of the original's latency."""
    return {
        "target": round(target, 4),
        "present_ms": round(present_ms, 4),
        "share": round(best.share, 4),
        "attempts": [
            {
                "estimate": round(attempt.cut.estimate, 4),
                "share": round(attempt.share, 4),
                "low": round(1 / attempt.speed.high, 4),
                "high": round(1 / attempt.speed.low, 4),
            }
            for attempt in attempts
        ],
    }


def missed(attempts: Sequence[Attempt], best: Attempt, target: float) -> str:
    """Why the best attempt is not nearer."""
    lands = f"lands at {best.share:.2f} of the latency, {100 * best.misses(target):.0f} % from {target:.2f}"
    spread = best.speed.high / best.speed.value - 1
    if len(attempts) == TRIES:
        return f"{lands}: measurements scatter by {100 * spread:.0f} %, and {TRIES} tries came no nearer"
    shares = ", ".join(f"{attempt.share:.2f}" for attempt in attempts)
    return f"{lands}: no widths lie between those that were measured ({shares}); lower round_to"
