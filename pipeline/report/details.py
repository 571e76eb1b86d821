"""Accuracy beyond one number: top-5, calibration, agreement, each class, and what the answers show."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.predictions import Predictions
from pipeline.report import words
from pipeline.report.confusion import Mixed, confusion
from pipeline.report.mistakes import Mistake, mistakes
from pipeline.report.tables import Row, Shown
from pipeline.results import Results, Variant

MOST_CLASSES = 20


class Detail(NamedTuple):
    """One variant's accuracy in detail, in per cent."""

    row: Row
    variant: Variant
    validation: str
    top5: Shown | None
    calibration: str
    agreement: str


class ClassAccuracy(NamedTuple):
    """One class of the chosen variant. share: right ones, 0 to 1."""

    name: str
    shown: str
    share: float


class Accuracy(NamedTuple):
    """Everything that the section on accuracy shows.

    Attributes:
        of: the row of the variant that classes, confusions and mistakes are of.
        left_out: classes that are better than those listed. unseen: classes without test images.
    """

    table: list[Detail]
    of: Row
    classes: list[ClassAccuracy]
    left_out: int
    unseen: list[str]
    mixed: Mixed | None
    mistakes: list[Mistake]


def accuracy(results: Results, predictions: Predictions | None, table: list[Row]) -> Accuracy:
    """The chosen variant's classes and mistakes, the reference's where none was chosen."""
    chosen = results.recommendation.variant
    of = results.reference if chosen is None else chosen
    variant = results.variants[of]
    seen = [(words.plain(n), share) for n, share in zip(results.classes, variant.per_class, strict=False)]
    known = [ClassAccuracy(name, f"{100 * share:.1f}", share) for name, share in seen if share is not None]
    weakest = known if len(known) <= MOST_CLASSES else sorted(known, key=lambda entry: entry.share)[:MOST_CLASSES]
    return Accuracy(
        table=[_detail(row, one) for row, one in zip(table, results.variants, strict=True)],
        of=table[of],
        classes=weakest,
        left_out=len(known) - len(weakest),
        unseen=[name for name, share in seen if share is None],
        mixed=confusion(results, predictions, of) if predictions else None,
        mistakes=mistakes(results, predictions, of) if predictions else [],
    )


def fitting(results: Results, predictions: Predictions | None) -> Predictions | None:
    """The predictions where they are of these results; those of another run would tell of other variants."""
    if predictions is None or predictions.top1_VN.shape != (len(results.variants), len(predictions.labels_N)):
        return None
    largest = max(int(predictions.labels_N.max(initial=0)), int(predictions.top1_VN.max(initial=0)))
    return predictions if largest < len(results.classes) else None


def _detail(row: Row, variant: Variant) -> Detail:
    return Detail(
        row=row,
        variant=variant,
        validation=words.percent(variant.validation_top1, variant.images),
        top5=_top5(variant),
        calibration=words.fixed(100 * variant.calibration_error, 1),
        agreement=words.percent(variant.agreement, variant.images),
    )


def _top5(variant: Variant) -> Shown | None:
    if variant.top5 is None:
        return None
    bounds = words.bounds(variant.top5, words.percent_places(variant.images), scale=100)
    return Shown(words.percent(variant.top5.value, variant.images), bounds)
