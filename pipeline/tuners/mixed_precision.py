"""Int8 that keeps its accuracy: as few layers float as needed."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, model_validator

from pipeline.errors import DataError, GateFailed
from pipeline.model import Model
from pipeline.quantizers.post_training import PostTraining
from pipeline.results import Interval
from pipeline.runtime import AnyRuntime
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.spec import Positive, Ratio
from pipeline.stage import Context
from pipeline.study import Benchmark
from pipeline.tuners._measured import Gauge
from pipeline.tuners._scouting import Scouting
from pipeline.tuners._search import Floats, Step, grown, points, remedy, shrunk

if TYPE_CHECKING:
    from pipeline.tuners._trials import Trials

IMAGES_FOR_A_SHARE = (
    3.0  # none of 3/p images shows, at 95 %, that at most p of all are so (Hanley & Lippman-Hand, 1983)
)


class MixedPrecision(PostTraining):
    """Post-training int8 that keeps layers float until an accuracy budget holds, and no more of them.

    Signal to noise of the logits names candidates; each is then made, exported and measured in the
    runtime, and the one that gains most accuracy on validation images a millisecond lost is kept.
    Neighbours share an island, so sets of layers are measured as sets. Where int8 holds the budget
    everywhere, nothing stays float; where nothing holds it, the stage fails as a gate does.

    Attributes:
        max_drop: top-1 that may be lost against the float model on validation images, as a fraction of 1.
        sure: the far end of the loss's paired interval must be within the budget, not only the loss.
        runtime: where candidates answer and are timed.
        threads: of the runtime.
        seconds: for the timing of each set of candidates.
        candidates: measured at a time.
        scouts: validation images for signal to noise.
        most: layers may stay float.
        floats: names of layers in the captured graph that stay float in any case.
    """

    version: ClassVar[int] = 2
    max_drop: Ratio = 0.01
    sure: bool = False
    runtime: AnyRuntime = OnnxRuntime()
    threads: Positive = 1
    seconds: Annotated[float, Field(gt=0)] = 20.0
    candidates: Positive = 4
    scouts: Positive = 4
    most: Positive = 16

    @model_validator(mode="after")
    def _can_be_shown(self) -> MixedPrecision:
        if self.sure and self.max_drop == 0:
            raise ValueError("no number of images can show that nothing at all is lost; raise max_drop")
        return self

    def __call__(self, value: Model, context: Context) -> Model:
        from pipeline.tuners._trials import Trials

        self._check_images(len(context.data.validation))
        benchmark = Benchmark(seconds=self.seconds, precision=0.02, threads=self.threads, cold_starts=0)
        with Gauge(self.runtime, context, benchmark) as gauge:
            trials = Trials(self, value, context, gauge, self.calibrated(value, context))
            steps: tuple[Step, ...] = ()
            if not self.holds(trials.judged(self.floats).loss):
                steps = self._searched(trials, context)
            floats = steps[-1].after.floats if steps else self.floats
            self._tell(trials, steps, floats)
            return trials.model(floats)

    def holds(self, loss: Interval) -> bool:
        """Whether a loss is within the budget."""
        return (loss.high if self.sure else loss.value) <= self.max_drop

    def _check_images(self, images: int) -> None:
        if not images:
            raise DataError("there are no validation images to judge accuracy by", "give the data set some")
        if self.sure and images * self.max_drop < IMAGES_FOR_A_SHARE:
            least = math.ceil(IMAGES_FOR_A_SHARE / self.max_drop)
            cause = f"{images} validation images cannot show that at most {self.max_drop:.2%} are lost; {least:,} could"
            raise DataError(cause, "give more images, raise max_drop, or set sure: false")

    def _searched(self, trials: Trials, context: Context) -> tuple[Step, ...]:
        """What was changed, one after the other, until the budget holds with nothing to spare.

        Raises:
            GateFailed: it cannot be held.
        """
        network = self.mixed(trials.found)
        scouting = Scouting(network, context.data.validation.x_NCHW(0, self.scouts), context.progress)
        loudest = scouting.loudest(self.most, self.floats)
        if trials.judged(loudest).loss.low > self.max_drop:  # a search would take minutes, and find no better ones
            raise self._failed(trials, loudest, len(network.layers))
        more = grown(self.floats, partial(scouting.proposed, self.candidates, self.most), trials.measure, self.holds)
        reached = more[-1].after.floats if more else self.floats
        if not self.holds(trials.judged(reached).loss):
            raise self._failed(trials, reached, len(network.layers))
        return (*more, *shrunk(reached, self.floats, trials.measure, self.holds))

    def _failed(self, trials: Trials, floats: Floats, layers: int) -> GateFailed:
        data, loss = trials.context.data, trials.judged(floats).loss
        plain = points(trials.judged(self.floats).loss, data.labelled)
        found = f"with {len(floats)} of {layers} layers float {points(loss, data.labelled)}"
        images = f"on {len(data.validation):,} validation images; {100 * self.max_drop:g} are allowed"
        cause = f"int8 loses {plain}, {found} {images}"
        fix = "raise max_drop or most, give more validation images, or use QuantizationAware"
        return GateFailed(cause, remedy(fix, data.labelled))

    def _tell(self, trials: Trials, steps: tuple[Step, ...], floats: Floats) -> None:
        """Which layers stay float and why: to whoever watches, and with the record."""
        loss, plain, context = trials.judged(floats).loss, trials.judged(()).loss, trials.context
        lost = partial(points, labelled=context.data.labelled)
        context.note("float_layers", list(floats))
        context.note("top1_lost", loss.model_dump())
        if not steps:
            return
        _, int8, mixed = trials.against_float(floats)
        context.note("top1_lost_in_int8", plain.model_dump())
        context.note("steps", [step.model_dump() for step in steps])
        stay = f"{', '.join(floats)} stay{'s' if len(floats) == 1 else ''} float"
        why = f"int8 everywhere loses {lost(plain)}, this {lost(loss)}, {100 * self.max_drop:g} are allowed"
        speed = f"{mixed.ratio.value:.2f}× the speed of float instead of {int8.ratio.value:.2f}×"
        context.warn(f"{stay}: {why}; {speed}")
        if mixed.verdict != "faster":
            context.warn(f"with so many float layers it is not shown to be faster than float ({mixed.verdict})")
