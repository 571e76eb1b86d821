"""Measurements into results: differences, the Pareto front, and what to ship."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

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
    import numpy as np
    from numpy.typing import NDArray


def conclude(
    study: Study,
    data: DataSet,
    answered: Sequence[Answered],
    ms_RSC: NDArray[np.float64],
    stages: Sequence[StageRecord],
) -> Results:
    """Everything the run found. The budget is judged on validation; test is only reported."""
    reference = find_reference(study, answered)
    latency = summarize(ms_RSC, reference)
    variants = [
        _variant(study, data, answered, ms_RSC, reference, index, latency[index]) for index in range(len(answered))
    ]
    on_front = front([v.latency.p50_ms.value for v in variants], [v.top1.value for v in variants])
    marked = [variant.model_copy(update={"on_front": mark}) for variant, mark in zip(variants, on_front, strict=True)]
    return Results(
        study=study.name,
        data=data.source,
        data_digest=data.digest,
        seed=study.seed,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        classes=data.splits.classes,
        machine=machine_facts(),
        versions=versions(),
        budget=study.budget,
        benchmark=study.benchmark.model_dump(mode="json"),
        reference=reference,
        variants=tuple(marked),
        stages=tuple(stages),
        recommendation=recommend(marked, marked[reference], study.budget),
    )


def find_reference(study: Study, answered: Sequence[Answered]) -> int:
    """The reference recipe on the first of the study's runtimes that measured it."""
    kinds = [runtime.kind for runtime in study.runtimes]
    candidates = [i for i, item in enumerate(answered) if item.artifact.manifest.recipe == study.reference]
    return min(candidates, key=lambda i: kinds.index(answered[i].runtime.kind))


def _variant(
    study: Study,
    data: DataSet,
    answered: Sequence[Answered],
    ms_RSC: NDArray[np.float64],
    reference: int,
    index: int,
    latency: Latency,
) -> Variant:
    item, manifest = answered[index], answered[index].artifact.manifest
    right_N, base_N = _right(item, data), _right(answered[reference], data)
    parent = study.recipe(manifest.recipe).after
    versus_parent = _versus_parent(answered, ms_RSC, index, parent)
    validation = _validation_top1(item, data)
    drop = _validation_top1(answered[reference], data) - validation
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
        versus_reference=paired_difference(base_N, right_N),
        latency=latency,
        parent=parent,
        versus_parent=versus_parent,
        note=_note(parent, versus_parent),
        file_bytes=item.artifact.bytes,
        params=manifest.params,
        macs=manifest.macs,
        parity=item.parity,
        lineage=manifest.lineage,
        within_budget=within(study.budget, drop, latency.p50_ms.value, item.artifact.bytes),
        on_front=False,
    )


def within(budget: Budget, drop: float, p50_ms: float, file_bytes: int) -> bool:
    """Whether a variant costs no more than the budget allows.

    Args:
        drop: top-1 lost against the reference on validation images, as a fraction of 1.
    """
    fast = budget.max_latency_ms is None or p50_ms <= budget.max_latency_ms
    small = budget.max_bytes is None or file_bytes <= budget.max_bytes
    return drop <= budget.max_drop and fast and small


def _right(item: Answered, data: DataSet) -> NDArray[np.bool_]:
    right_N: NDArray[np.bool_] = item.test_NK.argmax(1) == data.test.labels_N
    return right_N


def _validation_top1(item: Answered, data: DataSet) -> float:
    return float((item.validation_NK.argmax(1) == data.splits.validation.labels_N).mean())


def _versus_parent(
    answered: Sequence[Answered], ms_RSC: NDArray[np.float64], index: int, parent: str
) -> Interval | None:
    """The variant's speed against the recipe it was made from, on the same runtime."""
    import numpy as np

    runtime = answered[index].runtime
    for other, item in enumerate(answered):
        if item.artifact.manifest.recipe == parent and item.runtime == runtime:
            medians_RS = np.median(ms_RSC, axis=2)
            return speed_ratio(medians_RS[:, other], medians_RS[:, index])
    return None


def _note(parent: str, versus_parent: Interval | None) -> str:
    """A word where compression did not pay: such a variant is reported, and not recommended."""
    if versus_parent is None or verdict(versus_parent) == "faster":
        return ""
    found = "slower than" if verdict(versus_parent) == "slower" else "not shown to be faster than"
    return f"{found} {parent} here ({versus_parent.value:.2f}×)"


def recommend(variants: Sequence[Variant], reference: Variant, budget: Budget) -> Recommendation:
    """The fastest variant within the budget, smaller first where speed does not decide."""
    fitting = [i for i, variant in enumerate(variants) if variant.within_budget]
    if not fitting:
        sentence = (
            f"Nothing fits the budget (at most {budget.max_drop:.1%} top-1 lost on validation images); ship none."
        )
        return Recommendation(variant=None, sentence=sentence)
    best = min(fitting, key=lambda i: (variants[i].latency.p50_ms.value, variants[i].file_bytes))
    return Recommendation(variant=best, sentence=_sentence(variants[best], reference, budget))


def _sentence(best: Variant, reference: Variant, budget: Budget) -> str:
    difference, ratio = best.versus_reference.difference, best.latency.ratio
    speed = (
        "it is the reference itself"
        if best == reference
        else f"{ratio.value:.1f}× [{ratio.low:.1f}, {ratio.high:.1f}] the speed of {reference.name}"
    )
    return (
        f"Ship {best.recipe} as {best.format} on {best.runtime}: the smallest latency within the budget of "
        f"{100 * budget.max_drop:g} points, {best.latency.p50_ms.value:.2f} ms an image ({speed}), "
        f"{reference.file_bytes / best.file_bytes:.1f}× smaller; top-1 {best.top1.value:.1%} against "
        f"{reference.top1.value:.1%}, a paired difference of {100 * difference.value:+.1f} points "
        f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]."
    )
