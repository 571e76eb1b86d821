"""Measurements into results: accuracy, differences, the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifact import Artifact
from pipeline.assess import Answered
from pipeline.dataset import DataSet
from pipeline.errors import StageFailed
from pipeline.measure.accuracy import calibration_error, confidence, per_class, top_k
from pipeline.measure.machine import machine_facts, versions
from pipeline.measure.pareto import front
from pipeline.measure.statistics import paired_difference, wilson
from pipeline.measure.timings import summarize
from pipeline.predictions import Predictions
from pipeline.recommend import not_faster, only_packs, over_budget, recommend
from pipeline.results import (
    Failure,
    Footprint,
    Interval,
    Latency,
    Results,
    StageRecord,
    Sweep,
    Variant,
)
from pipeline.study import Study
from pipeline.timing import Timed

if TYPE_CHECKING:
    from numpy.typing import NDArray

MISTAKES = 24
THUMBNAIL = 96


@dataclass(frozen=True)
class Measured:
    """All that was measured, before anything is concluded from it.

    Attributes:
        timed: latency, one column a variant in the order of ``answered``, and then the sweeps.
        footprints: by variant. failures: what could not be measured.
        unrun: artifacts that no runtime of the study opens; they are delivered as they were exported.
    """

    study: Study
    data: DataSet
    answered: Sequence[Answered]
    timed: Timed
    footprints: Sequence[Footprint | None]
    failures: Sequence[Failure] = ()
    unrun: Sequence[Artifact] = ()

    @property
    def reference(self) -> int:
        return reference_of(self.study, self.answered)

    def right_N(self, index: int) -> NDArray[np.bool_]:
        """Which test images a variant gets right."""
        right_N: NDArray[np.bool_] = self.answered[index].test_NK.argmax(1) == self.data.test.labels_N
        return right_N

    def validation_top1(self, index: int) -> float:
        labels_N = self.data.splits.validation.labels_N
        return float((self.answered[index].validation_NK.argmax(1) == labels_N).mean())

    def parent(self, index: int) -> int | None:
        """The variant of the recipe that this one was made from, on the same runtime."""
        item = self.answered[index]
        parent = self.study.recipe(item.artifact.manifest.recipe).after
        for other, candidate in enumerate(self.answered):
            if candidate.artifact.manifest.recipe == parent and candidate.runtime == item.runtime:
                return other
        return None

    def versus_parent(self, index: int) -> Interval | None:
        """A variant's speed against its parent."""
        parent = self.parent(index)
        return None if parent is None else self.timed.timings.ratio(parent, index)

    def sizes(self, index: int) -> tuple[int, int]:
        """Bytes of a variant's file, and of it packed."""
        return self.answered[index].artifact.bytes, self.answered[index].compressed_bytes

    def not_faster(self, index: int) -> list[str]:
        """In words, that compression did not make a variant faster, and what it did instead."""
        recipe, parent = self.study.recipe(self.answered[index].artifact.manifest.recipe).after, self.parent(index)
        found = not_faster(recipe, self.versus_parent(index))
        return [*found, *only_packs(self.sizes(index), self.sizes(parent))] if found and parent is not None else found


def reference_of(study: Study, answered: Sequence[Answered]) -> int:
    """The reference recipe on the first of the study's runtimes that measured it.

    Raises:
        StageFailed: none of them did.
    """
    kinds = [runtime.kind for runtime in study.runtimes]
    recipes = [item.artifact.manifest.recipe for item in answered]
    candidates = [index for index, name in enumerate(recipes) if name == study.reference]
    if not candidates:
        raise StageFailed(f"the reference, {study.reference}, could not be measured on any runtime")
    return min(candidates, key=lambda index: kinds.index(answered[index].runtime.kind))


def conclude(measured: Measured, stages: Sequence[StageRecord]) -> Results:
    """Everything the run found. The budget is judged on validation; test is only reported."""
    study, data, reference = measured.study, measured.data, measured.reference
    latency = summarize(measured.timed.timings, reference)
    variants = [_variant(measured, index, latency[index]) for index in range(len(measured.answered))]
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
        labelled=data.labelled,
        warnings=(
            *data.remarks,
            *data.left_out,
            *data.duplicates,
            *doubts(marked[reference], data),
            *_warnings(stages),
        ),
        machine=machine_facts(),
        versions={**versions(), **{k: v for item in measured.answered for k, v in item.runtime.releases().items()}},
        budget=study.budget,
        benchmark=study.benchmark.model_dump(mode="json"),
        reference=reference,
        variants=tuple(marked),
        stages=tuple(stages),
        recommendation=recommend(marked, marked[reference], study.budget, data.labelled),
        conditions=measured.timed.timings.conditions(reference),
        sweeps=tuple(_sweeps(measured.timed, latency)),
        failures=tuple(measured.failures),
    )


def doubts(reference: Variant, data: DataSet) -> list[str]:
    """In words, that the reference is no better than guessing: then no budget means anything."""
    guessing = 1 / max(2, len(data.splits.classes))
    if not data.labelled or reference.top1.low > guessing:
        return []
    cause = f"{reference.recipe} gets {reference.top1.value:.1%} of the test images right; guessing gets {guessing:.1%}"
    return [f"{cause}: the order of the classes or the preprocessing may not be those of its training"]


def _warnings(stages: Sequence[StageRecord]) -> list[str]:
    """What stages had to do otherwise than they were asked."""
    return [f"{stage.label}: {text}" for stage in stages for text in stage.facts.get("warnings", ())]


def _sweeps(timed: Timed, latency: Sequence[Latency]) -> Iterator[Sweep]:
    """Every case beside the plain one, and those that could not be."""
    for column, entrant in enumerate(timed.entrants):
        if column == entrant.variant:
            continue
        p50, ratio = latency[column].p50_ms, timed.timings.ratio(entrant.variant, column)
        speedup = {name: getattr(ratio, name) * entrant.batch for name in Interval.model_fields}
        yield Sweep(
            variant=entrant.variant,
            threads=entrant.threads,
            batch=entrant.batch,
            p50_ms=p50,
            images_per_s=1e3 * entrant.batch / p50.value,
            speedup=Interval(**speedup),
        )
    yield from timed.refused


def _variant(measured: Measured, index: int, latency: Latency) -> Variant:
    item, manifest = measured.answered[index], measured.answered[index].artifact.manifest
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
        **_accuracy(measured, index),
        validation_top1=validation,
        latency=latency,
        parent=parent,
        versus_parent=versus_parent,
        note="; ".join([*overruns, *measured.not_faster(index)]),
        file_bytes=item.artifact.bytes,
        compressed_bytes=item.compressed_bytes,
        footprint=measured.footprints[index],
        limit=measured.timed.floors[index].limit(latency.p50_ms.value),
        energy_mj=measured.timed.timings.energy_mj(index),
        params=manifest.params,
        macs=manifest.macs,
        parity=item.parity,
        lineage=manifest.lineage,
        within_budget=not overruns,
        on_front=False,
    )


def _accuracy(measured: Measured, index: int) -> dict[str, Any]:
    """What a variant's answers for the test images are worth."""
    logits_NK, labels_N = measured.answered[index].test_NK, measured.data.test.labels_N
    reference_NK = measured.answered[measured.reference].test_NK
    right_N, images, classes = measured.right_N(index), len(labels_N), logits_NK.shape[1]
    return {
        "top1": wilson(int(right_N.sum()), images),
        "correct": int(right_N.sum()),
        "images": images,
        "versus_reference": paired_difference(measured.right_N(measured.reference), right_N),
        "top5": wilson(top_k(logits_NK, labels_N, 5), images) if classes > 5 else None,
        "per_class": per_class(right_N, labels_N, classes),
        "calibration_error": calibration_error(confidence(logits_NK), right_N),
        "agreement": float((logits_NK.argmax(1) == reference_NK.argmax(1)).mean()),
    }


def predictions(measured: Measured, chosen: int | None) -> Predictions:
    """What every variant said of every test image, with some that the chosen one gets wrong."""
    logits = [item.test_NK for item in measured.answered]
    wrong_N = ~measured.right_N(measured.reference if chosen is None else chosen)
    mistakes_M = np.flatnonzero(wrong_N)[:MISTAKES]
    return Predictions(
        labels_N=measured.data.test.labels_N.astype(np.int32),
        top1_VN=np.stack([logits_NK.argmax(1) for logits_NK in logits]).astype(np.int32),
        confidence_VN=np.stack([confidence(logits_NK) for logits_NK in logits]),
        mistakes_M=mistakes_M.astype(np.int32),
        mistakes_MHWC=_small(measured.data.test.images.take(mistakes_M).fitted_NHWC()),
    )


def _small(images_NHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every so many pixels of images that are larger than a thumbnail."""
    step = max(1, -(-max(images_NHWC.shape[1:3]) // THUMBNAIL))
    return images_NHWC[:, ::step, ::step]
