"""Ways to compress a network, what each was measured to be, and which of them is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pipeline.measure.pareto import front
from pipeline.results import Interval
from pipeline.spec import Ratio, Value

Teaching = Literal["labels", "teacher", "blocks"]
Quantization = Literal["none", "after", "aware"]
MOST_FINALISTS = 4
TAUGHT: dict[Teaching, str] = {"labels": "trained", "teacher": "distilled", "blocks": "distilled by blocks"}


class Combination(Value):
    """One way.

    Attributes:
        ratio: of the channels, removed; 0 leaves them all, and trains nothing.
        teaching: what the pruned network is trained on: labels alone, the given model's answers too, or, pruned
            only inside of its blocks, those and the maps of its blocks.
        quantization: none, after training, or in training.
    """

    ratio: Ratio
    teaching: Teaching
    quantization: Quantization

    @property
    def label(self) -> str:
        """In a few words.

        >>> Combination(ratio=0.3, teaching="teacher", quantization="aware").label
        '30 % pruned, distilled, int8 in training'
        """
        pruned = [f"{100 * self.ratio:g} % pruned", TAUGHT[self.teaching]]
        quantized = {"none": [], "after": ["int8 after training"], "aware": ["int8 in training"]}[self.quantization]
        return ", ".join([*(pruned if self.ratio else []), *quantized]) or "as it was"


class Tried(Value):
    """A combination that was made and measured, or failed.

    Attributes:
        loss: top-1 lost against the given model on validation images, a fraction of 1; paired interval.
        speed: latency of the given model / of this one, in the same sittings.
        p50_ms: of one image, the given model's at that time / speed.
        failure: why there is nothing to say of it; empty where there is.
    """

    combination: Combination
    top1: float = 0.0
    loss: Interval | None = None
    speed: Interval | None = None
    p50_ms: float = 0.0
    failure: str = ""


class Limit(Value):
    """How much may be lost.

    Attributes:
        max_drop: of top-1, a fraction of 1.
        judged_by: "interval": the whole of the loss's paired interval keeps it; "estimate": the loss alone.
    """

    max_drop: Ratio
    judged_by: Literal["interval", "estimate"]

    def keeps(self, tried: Tried) -> bool:
        """Whether it lost little enough."""
        if tried.loss is None:
            return False
        return (tried.loss.high if self.judged_by == "interval" else tried.loss.value) <= self.max_drop


def finalists(tried: Sequence[Tried], limit: Limit) -> list[Tried]:
    """The fastest within the limit, and those that may be as fast: their intervals overlap with its. Fastest first."""
    fitting = [(one.speed, one) for one in tried if one.speed is not None and limit.keeps(one)]
    fitting.sort(key=lambda pair: -pair[0].value)
    return [one for speed, one in fitting if speed.high >= fitting[0][0].low][:MOST_FINALISTS]


def told(tried: Sequence[Tried], limit: Limit, chosen: Combination | None) -> dict[str, Any]:
    """All that was tried as JSON-ready facts, the Pareto front of loss and time marked.

    What failed is on no front. The given model, which loses nothing and takes all of its time, is not listed.
    """
    measured = [one for one in tried if one.loss is not None and one.speed is not None]
    marks = front([1 / one.speed.value for one in measured if one.speed], [one.top1 for one in measured])
    on_front = {one.combination for one, mark in zip(measured, marks, strict=True) if mark}
    return {
        **limit.model_dump(mode="json"),
        "tried": [
            {
                **one.model_dump(mode="json"),
                "label": one.combination.label,
                "within": limit.keeps(one),
                "on_front": one.combination in on_front,
                "chosen": one.combination == chosen,
            }
            for one in tried
        ],
    }
