"""Int8 of an ONNX file that keeps its accuracy: other ranges first, then as few float nodes as needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pydantic import field_validator

from pipeline.artifact import Artifact, Draft
from pipeline.errors import DataError, GateFailed, ParityMiss
from pipeline.measure.statistics import paired_difference, sqnr_db
from pipeline.quantizers.onnx_int8 import Calibration, OnnxInt8, ready
from pipeline.results import Interval
from pipeline.runtime import AnyRuntime
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.spec import Positive, Ratio
from pipeline.stage import Context
from pipeline.tuners._measured import Gauge
from pipeline.tuners._search import points, remedy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.quantizers._ranges import Bounds

LOST = Interval(value=1.0, low=1.0, high=1.0)


class OnnxMixed(OnnxInt8):
    """Post-training int8 of an ONNX file that holds an accuracy budget, with other ranges or some nodes float.

    Each way of finding ranges is tried in turn, until one loses little enough on validation images, in
    the runtime. Where none does, the nodes whose rounding disturbs the logits most become float: as many as
    may, and unless those are shown to lose too much, one, two, four and so on. A file that the runtime does not
    answer as it is written is passed over. Where nothing holds the budget, the stage fails as a gate does.

    Attributes:
        max_drop: top-1 that may be lost against the float file on validation images, as a fraction of 1.
        others: ways to find ranges, after ``calibration``.
        runtime: where candidates answer. threads: of it.
        scouts: validation images to rank nodes by.
        most: nodes may stay float.
    """

    version: ClassVar[int] = 2
    max_drop: Ratio = 0.01
    others: tuple[Calibration, ...] = ("percentile", "mse", "min_max")
    runtime: AnyRuntime = OnnxRuntime()
    threads: Positive = 1
    scouts: Positive = 4
    most: Positive = 16

    @field_validator("others")
    @classmethod
    def _none_twice(cls, others: tuple[Calibration, ...]) -> tuple[Calibration, ...]:
        if len(set(others)) < len(others):
            raise ValueError("a way is there twice")
        return others

    def __call__(self, value: Artifact, context: Context) -> Draft:
        if not len(context.data.validation):
            raise DataError("there are no validation images to judge accuracy by", "give the data set some")
        with Gauge(self.runtime, context) as gauge:
            return Trials(self, value, context, gauge).chosen()


class Trial(NamedTuple):
    """One file.

    Attributes:
        calibration: how its ranges were found. floats: its float nodes.
        loss: of top-1, a fraction of 1. agreement: share of images with the float file's answer.
    """

    calibration: Calibration
    ranges: Mapping[str, Bounds]
    floats: tuple[str, ...]
    draft: Draft
    loss: Interval
    agreement: float


@dataclass
class Trials:
    """Makes files, and asks the runtime about them until one is good enough."""

    stage: OnnxMixed
    value: Artifact
    context: Context
    gauge: Gauge

    def __post_init__(self) -> None:
        self.model = ready(self.value)
        self.exact_N = self._answers_N(self.value)

    def chosen(self) -> Draft:
        """The first that holds the budget.

        Raises:
            GateFailed: none does.
        """
        tried: list[Trial] = []
        for calibration in dict.fromkeys((self.stage.calibration, *self.stage.others)):
            ranges = self.stage.ranges(self.model, calibration, self.context)
            tried.append(self._tried(calibration, ranges, self.stage.floats))
            if self._holds(tried[-1]):
                return self._told(tried)
        best = max(tried, key=lambda trial: (-trial.loss.value, trial.agreement))
        ranked = [name for name in self.ranked(best.ranges) if name not in self.stage.floats]
        *fewer, most = [ranked[:count] for count in _doubled(min(self.stage.most, len(ranked)))] or [[]]
        widest = self._tried(best.calibration, best.ranges, (*self.stage.floats, *most))
        shown = widest.loss is not LOST  # a file that misses parity says nothing of others
        if shown and widest.loss.low > self.stage.max_drop:  # with fewer it would be no better
            raise self._failed([*tried, widest])
        for floats in fewer:
            tried.append(self._tried(best.calibration, best.ranges, (*self.stage.floats, *floats)))
            if self._holds(tried[-1]):
                return self._told(tried)
        if not self._holds(widest):
            raise self._failed([*tried, widest])
        return self._told([*tried, widest])

    def ranked(self, ranges: Mapping[str, Bounds]) -> list[str]:
        """Weighted nodes, first the one that lets the logits gain most signal to noise when it alone is float."""
        from pipeline.quantizers._onnx_layers import WEIGHTED
        from pipeline.quantizers._onnx_mended import spared
        from pipeline.quantizers.onnx_file import as_written

        names = [node.name for node in self.model.graph.node if node.op_type in WEIGHTED]
        paired = self.stage.paired(self.model, ranges, (), self.context, apart=True)
        x_NCHW = self.context.data.validation.x_NCHW(0, self.stage.scouts)
        exact_NK, gained = as_written(self.model, x_NCHW), dict[str, float]()
        for done, name in enumerate(names):
            self.context.stop.check()
            gained[name] = _signal(exact_NK, as_written(spared(paired, self.model, name), x_NCHW))
            self.context.progress(done + 1, len(names), name)
        return sorted(names, key=gained.__getitem__, reverse=True)

    def _tried(self, calibration: Calibration, ranges: Mapping[str, Bounds], floats: tuple[str, ...]) -> Trial:
        draft = self.stage.made(self.model, ranges, floats, self.value, self.context)
        labels_N = self.context.data.validation.labels_N
        try:
            answers_N = self._answers_N(self.gauge.kept(draft))
        except ParityMiss as error:  # of this file only; the next one may keep it
            self.context.warn(f"with ranges by {calibration} and {len(floats)} float nodes, {error.cause}")
            return Trial(calibration, ranges, floats, draft, LOST, 0.0)
        found = paired_difference(self.exact_N == labels_N, answers_N == labels_N).difference
        loss = Interval(value=0.0 - found.value, low=0.0 - found.high, high=0.0 - found.low)
        return Trial(calibration, ranges, floats, draft, loss, float((answers_N == self.exact_N).mean()))

    def _answers_N(self, artifact: Artifact) -> NDArray[np.int64]:
        answers_N: NDArray[np.int64] = self.gauge.logits_NK(artifact, self.context.data.validation).argmax(1)
        return answers_N

    def _holds(self, trial: Trial) -> bool:
        return trial.loss is not LOST and trial.loss.value <= self.stage.max_drop

    def _told(self, tried: Sequence[Trial]) -> Draft:
        """The last one, with what came before it noted and said."""
        last = tried[-1]
        self.context.note("calibration", last.calibration)
        self.context.note("float_layers", list(last.floats))
        self.context.note("top1_lost", last.loss.model_dump())
        if len(tried) > 1:
            stay = f", {', '.join(last.floats)} float" if last.floats else ""
            first = f"with ranges by {tried[0].calibration} int8 loses {self._points(tried[0])}"
            self.context.warn(f"{first}; by {last.calibration}{stay} {self._points(last)}")
        return last.draft

    def _failed(self, tried: Sequence[Trial]) -> GateFailed:
        best, images = min(tried, key=lambda trial: trial.loss.value), len(self.context.data.validation)
        found = f"int8 with {len(best.floats)} nodes float loses {self._points(best)} on {images:,} validation images"
        cause = f"{found}, the least of {len(tried)} tries; {100 * self.stage.max_drop:g} are allowed"
        fix = "raise max_drop or most, or give more images to calibrate on"
        return GateFailed(cause, remedy(fix, self.context.data.labelled))

    def _points(self, trial: Trial) -> str:
        return points(trial.loss, self.context.data.labelled)


def _doubled(most: int) -> list[int]:
    """1, 2, 4, … and at last ``most``.

    >>> _doubled(6), _doubled(0)
    ([1, 2, 4, 6], [])
    """
    powers = [2**power for power in range(most.bit_length()) if 2**power < most]
    return [*powers, most] if most else []


def _signal(exact_NK: NDArray[np.float32], rounded_NK: NDArray[np.float32]) -> float:
    signal, noise = (float((part.astype("float64") ** 2).sum()) for part in (exact_NK, exact_NK - rounded_NK))
    return sqnr_db(signal, noise)
