"""``results.json``: what a run found, as versioned data. Reports and bundles are functions of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from pipeline.errors import NewerFormat, UsageError
from pipeline.spec import Budget, Value

RESULTS = "results.json"
SCHEMA_VERSION = 1


class Interval(Value):
    """An estimate with its 95 % interval, in the unit of the field that holds it."""

    value: float
    low: float
    high: float


class Difference(Value):
    """Top-1 of a variant minus the reference's, on the same images.

    Attributes:
        difference: fraction of 1, negative is worse; paired bootstrap interval.
        p_value: exact McNemar test.
        only_reference: images that only the reference gets right. only_variant: the reverse.
    """

    difference: Interval
    p_value: float
    only_reference: int
    only_variant: int


class Latency(Value):
    """Latency of one image, in milliseconds, and against the reference, in the same rounds.

    Attributes:
        p50_ms: median of the round medians with its bootstrap interval.
        ratio: reference latency / this latency, paired by round; above 1 is faster.
    """

    p50_ms: Interval
    p90_ms: float
    ratio: Interval
    verdict: Literal["faster", "slower", "no difference shown", "reference"]
    rounds_ms: tuple[float, ...]


class Parity(Value):
    """How well a hand-off kept the answers, on the probe's images.

    Attributes:
        max_difference: largest |Δ| of any logit. scale: largest |logit|.
        agreement: share of images with the same top-1.
        sqnr_db: signal to noise of the logits.
    """

    images: int
    max_difference: float
    scale: float
    agreement: float
    sqnr_db: float


class Variant(Value):
    """One recipe's artifact on one runtime.

    Attributes:
        validation_top1: what the budget is judged by; ``top1`` is the test split's.
        parent: the recipe this one was made from; "" for a first one.
        versus_parent: parent latency / this latency on the same runtime; above 1 is faster.
        note: why a compressed variant is not faster, where it is not.
    """

    recipe: str
    format: str
    runtime: str
    integer: bool
    folder: str
    top1: Interval
    correct: int
    images: int
    validation_top1: float
    versus_reference: Difference
    latency: Latency
    parent: str = ""
    versus_parent: Interval | None = None
    note: str = ""
    file_bytes: int
    params: int
    macs: int
    parity: Parity
    lineage: tuple[Mapping[str, Any], ...]
    within_budget: bool
    on_front: bool

    @property
    def name(self) -> str:
        return f"{self.recipe} · {self.runtime}"


class StageRecord(Value):
    """One stage of the run: how long it took when it ran, and whether it ran this time."""

    label: str
    recipe: str
    key: str
    seconds: float
    status: Literal["done", "cached"]
    facts: Mapping[str, Any] = {}


class Recommendation(Value):
    """Which variant to ship and why; no variant where nothing fits the budget.

    Attributes:
        variant: index into the results' variants.
        sentence: for people.
    """

    variant: int | None
    sentence: str


class Results(Value):
    """Everything a run found.

    Attributes:
        machine: CPU, cores, memory, system, load; see ``measure/machine.py``.
        splits: number of images by split.
        warnings: what a reader should know of the data and the training: images that two splits
            share or that were left out, a batch that was halved.
        reference: index of the variant that all others are compared with.
    """

    schema_version: int = SCHEMA_VERSION
    study: str
    data: str
    data_digest: str
    seed: int
    created: str
    classes: tuple[str, ...]
    splits: Mapping[str, int] = {}
    warnings: tuple[str, ...] = ()
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    budget: Budget
    benchmark: Mapping[str, Any]
    reference: int
    variants: tuple[Variant, ...]
    stages: tuple[StageRecord, ...]
    recommendation: Recommendation


def read_results(folder: Path) -> Results:
    """The results of a finished run.

    Raises:
        UsageError: there are none in ``folder``, or they are damaged.
        NewerFormat: they were written by a later edgewright.
    """
    path = folder / RESULTS if folder.is_dir() else folder
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        version = int(data["schema_version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is missing or holds no results", "run the study first") from None
    NewerFormat.refuse(path, version, SCHEMA_VERSION)
    try:
        return Results.model_validate(data)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) for item in error.errors()[:3])
        raise UsageError(f"{path} is damaged: {fields}", "run the study again") from None
