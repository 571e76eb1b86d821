"""Measurements into results: differences, the Pareto front, and what to ship."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from pipeline.assess import Answered
from pipeline.dataset import DataSet
from pipeline.measure.latency import speed_ratio, summarize, verdict
from pipeline.measure.machine import machine_facts, versions
from pipeline.measure.pareto import front
from pipeline.measure.statistics import paired_difference, wilson
from pipeline.results import Interval, Latency, Recommendation, Results, StageRecord, Variant
from pipeline.spec import Budget
from pipeline.study import Study

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Measured:
    """All that was measured, before anything is concluded from it.

    Attributes:
        ms_RSC: latency samples (rounds, variants, calls), variants in the order of ``answered``.
    """

    study: Study
    data: DataSet
    answered: Sequence[Answered]
    ms_RSC: NDArray[np.float64]

    @property
    def reference(self) -> int:
        """The reference recipe on the first of the study's runtimes that measured it."""
        kinds = [runtime.kind for runtime in self.study.runtimes]
        recipes = [item.artifact.manifest.recipe for item in self.answered]
        candidates = [index for index, name in enumerate(recipes) if name == self.study.reference]
        return min(candidates, key=lambda index: kinds.index(self.answered[index].runtime.kind))

    def right_N(self, index: int) -> NDArray[np.bool_]:
        """Which test images a variant gets right."""
        right_N: NDArray[np.bool_] = self.answered[index].test_NK.argmax(1) == self.data.test.labels_N
        return right_N

    def validation_top1(self, index: int) -> float:
        labels_N = self.data.splits.validation.labels_N
        return float((self.answered[index].validation_NK.argmax(1) == labels_N).mean())

    def versus_parent(self, index: int) -> Interval | None:
        """A variant's speed against the recipe it was made from, on the same runtime."""
        medians_RS, item = np.median(self.ms_RSC, axis=2), self.answered[index]
        parent = self.study.recipe(item.artifact.manifest.recipe).after
        for other, candidate in enumerate(self.answered):
            if candidate.artifact.manifest.recipe == parent and candidate.runtime == item.runtime:
                return speed_ratio(medians_RS[:, other], medians_RS[:, index])
        return None


def conclude(measured: Measured, stages: Sequence[StageRecord]) -> Results:
    """Everything the run found. The budget is judged on validation; test is only reported."""
    study, data, reference = measured.study, measured.data, measured.reference
    latency = summarize(measured.ms_RSC, reference)
    variants = [_variant(measured, index, latency[index]) for index in range(len(latency))]
    on_front = front([v.latency.p50_ms.value for v in variants], [v.top1.value for v in variants])
    marked = [variant.model_copy(update={"on_front": mark}) for variant, mark in zip(variants, on_front, strict=True)]
    return Results(
        study=study.name,
        data=data.source,
        data_digest=data.digest,
        seed=study.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        classes=data.splits.classes,
        splits={name: len(part) for name, part in data.parts.items()},
        warnings=(*data.left_out, *data.duplicates, *_warnings(stages)),
        machine=machine_facts(),
        versions=versions(),
        budget=study.budget,
        benchmark=study.benchmark.model_dump(mode="json"),
        reference=reference,
        variants=tuple(marked),
        stages=tuple(stages),
        recommendation=recommend(marked, marked[reference], study.budget),
    )


def _warnings(stages: Sequence[StageRecord]) -> list[str]:
    """What stages had to do otherwise than they were asked."""
    return [f"{stage.label}: {text}" for stage in stages for text in stage.facts.get("warnings", ())]


def _variant(measured: Measured, index: int, latency: Latency) -> Variant:
    item, manifest = measured.answered[index], measured.answered[index].artifact.manifest
    right_N = measured.right_N(index)
    parent, versus_parent = measured.study.recipe(manifest.recipe).after, measured.versus_parent(index)
    validation = measured.validation_top1(index)
    drop = measured.validation_top1(measured.reference) - validation
    overruns = over_budget(measured.study.budget, drop, latency.p50_ms.value, item.artifact.bytes)
    return Variant(
        recipe=manifest.recipe,
        format=manifest.format,
        runtime=item.runtime.kind,
        integer=manifest.integer,
        folder=f"models/{manifest.recipe}/{manifest.format}",
        top1=wilson(int(right_N.sum()), len(right_N)),
        correct=int(right_N.sum()),
        images=len(right_N),
        validation_top1=validation,
        versus_reference=paired_difference(measured.right_N(measured.reference), right_N),
        latency=latency,
        parent=parent,
        versus_parent=versus_parent,
        note="; ".join([*overruns, *_note(parent, versus_parent)]),
        file_bytes=item.artifact.bytes,
        params=manifest.params,
        macs=manifest.macs,
        parity=item.parity,
        lineage=manifest.lineage,
        within_budget=not overruns,
        on_front=False,
    )


def over_budget(budget: Budget, drop: float, p50_ms: float, file_bytes: int) -> list[str]:
    """In words, each limit that a variant does not keep; none where it fits the budget.

    Args:
        drop: top-1 lost against the reference on validation images, as a fraction of 1.
    """
    found = []
    if drop > budget.max_drop:
        found.append(f"loses {points(drop)} on validation images, {100 * budget.max_drop:g} allowed")
    if budget.max_latency_ms is not None and p50_ms > budget.max_latency_ms:
        found.append(f"takes {p50_ms:.2f} ms, {budget.max_latency_ms:g} allowed")
    if budget.max_bytes is not None and file_bytes > budget.max_bytes:
        found.append(f"has {file_bytes:,} bytes, {budget.max_bytes:,} allowed")
    return found


def points(fraction: float) -> str:
    """A difference of top-1 in points, one decimal at most.

    >>> points(0.01), points(-0.0251)
    ('1 point', '−2.5 points')
    """
    text = f"{100 * fraction:.1f}".removesuffix(".0").replace("-", "−")
    return f"{text} point{'' if text == '1' else 's'}"


def _note(parent: str, versus_parent: Interval | None) -> list[str]:
    """A word where compression did not make a variant faster."""
    if versus_parent is None or verdict(versus_parent) == "faster":
        return []
    found = "slower than" if verdict(versus_parent) == "slower" else "not shown to be faster than"
    return [f"{found} {parent} here ({versus_parent.value:.2f}×)"]


def recommend(variants: Sequence[Variant], reference: Variant, budget: Budget) -> Recommendation:
    """The fastest variant within the budget that pays, smaller first where speed does not decide."""
    allowed = [variant for variant in variants if variant.within_budget]
    fitting = [i for i, variant in enumerate(variants) if variant.within_budget and _pays(variant, allowed)]
    if not fitting:
        nearest = max(variants, key=lambda variant: (variant.validation_top1, -variant.latency.p50_ms.value))
        why = f"{nearest.name}, the most accurate, {nearest.note}" if nearest.note else "nothing was gained"
        return Recommendation(variant=None, sentence=f"Nothing fits the budget ({_limits(budget)}): {why}; ship none.")
    best = min(fitting, key=lambda i: (variants[i].latency.p50_ms.value, variants[i].file_bytes))
    return Recommendation(variant=best, sentence=_sentence(variants[best], reference, budget))


def _pays(variant: Variant, allowed: Sequence[Variant]) -> bool:
    """Shown to be faster than the recipe it was made from, or smaller, or else that one is not allowed."""
    made_from = (variant.parent, variant.format, variant.runtime)
    parents = [other for other in allowed if (other.recipe, other.format, other.runtime) == made_from]
    faster = variant.versus_parent is None or verdict(variant.versus_parent) == "faster"
    return faster or all(variant.file_bytes < parent.file_bytes for parent in parents)


def _limits(budget: Budget) -> str:
    """The budget in words."""
    limits = [f"at most {points(budget.max_drop)} of top-1 lost on validation images"]
    if budget.max_latency_ms is not None:
        limits.append(f"{budget.max_latency_ms:g} ms")
    if budget.max_bytes is not None:
        limits.append(f"{budget.max_bytes:,} bytes")
    return ", ".join(limits)


def _sentence(best: Variant, reference: Variant, budget: Budget) -> str:
    place = f"Ship {best.recipe} as {best.format} on {best.runtime}"
    allowed = f"the budget of {points(budget.max_drop)} of top-1"
    speed = f"{best.latency.p50_ms.value:.2f} ms an image"
    if best == reference:
        return f"{place}: it is the reference, and nothing within {allowed} is shown to be faster; {speed}."
    difference, ratio = best.versus_reference.difference, best.latency.ratio
    # Test images never decide; where they contradict the choice, the reader is told.
    exceeded = "" if -difference.value <= budget.max_drop else ", more than the budget, which validation images judge"
    doubt = "" if best.latency.verdict == "faster" else f" ({best.latency.verdict})"
    return (
        f"{place}: the smallest latency within {allowed}, {speed}, "
        f"{ratio.value:.1f}× [{ratio.low:.1f}, {ratio.high:.1f}] the speed of {reference.name}{doubt} "
        f"and {_size(best, reference)}; top-1 {best.top1.value:.1%} against "
        f"{reference.top1.value:.1%}, a paired difference of {_signed(difference.value)} points "
        f"[{_signed(difference.low)}, {_signed(difference.high)}]{exceeded}."
    )


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f}".replace("-", "−")


def _size(best: Variant, reference: Variant) -> str:
    ratio = reference.file_bytes / best.file_bytes
    return f"{ratio:.1f}× smaller" if ratio >= 1 else f"{1 / ratio:.1f}× larger"
