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
SCHEMA_VERSION = 2


Verdict = Literal["faster", "slower", "no difference shown", "unstable", "reference"]


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
    """Milliseconds of one call, and against the reference, in the same sittings.

    Attributes:
        p50_ms, p90_ms, p99_ms, mean_ms: over all calls; the intervals resample sittings and their rounds.
        ratio: reference latency / this latency; above 1 is faster. Its interval takes in that a file that
            is opened again lies elsewhere in memory and is a little faster or slower for it.
        verdict: what the ratio's interval shows; "unstable" where the machine was disturbed.
        sittings_ms: the median of each sitting.
        calls: that were timed. openings: how often the file was opened for them.
        warm_up_calls: before a sitting's first round, until calls no longer became faster; the median.
    """

    p50_ms: Interval
    p90_ms: Interval
    p99_ms: Interval
    mean_ms: Interval
    ratio: Interval
    verdict: Verdict
    sittings_ms: tuple[float, ...]
    calls: int
    openings: int
    warm_up_calls: int


class Conditions(Value):
    """What else the machine did while latency was measured.

    Attributes:
        seconds: that measuring took.
        sittings: that count. set_aside: disturbed ones that do not.
        others: cores that other processes used, the median of the sittings.
        steal: share of time that the host of a virtual machine took, the median.
        drift: slowest sitting / fastest, over all variants; milliseconds move by it, ratios do not.
        precision: the widest ratio's interval reaches this far to a side, as a fraction of the ratio.
        energy: "measured", or why it is not.
        unstable: why these numbers should not be relied on; nothing where they may be.
    """

    seconds: float
    sittings: int
    set_aside: int
    others: float
    steal: float
    drift: float
    precision: float
    energy: str
    unstable: tuple[str, ...] = ()


class Footprint(Value):
    """A new process that opens the file and answers once: median, smallest and largest of several.

    Attributes:
        cold_start_ms: from the start of the process to its first answer, Python and the runtime included.
        load_ms: opening the file. first_ms: the first answer.
        peak_bytes: the most memory the process ever held. grown_bytes: of it, since before the file was opened.
    """

    cold_start_ms: Interval
    load_ms: Interval
    first_ms: Interval
    peak_bytes: int
    grown_bytes: int


class Limit(Value):
    """The least time this processor could need, from its measured peak and bandwidth.

    Attributes:
        floor_ms: the larger of arithmetic and of reading the weights once.
        bound: which of the two it is.
        share: floor / p50, how much of what is possible was reached.
    """

    floor_ms: float
    bound: Literal["arithmetic", "memory"]
    share: float


class Sweep(Value):
    """A variant with another number of threads or images a call, from the same sittings.

    Attributes:
        variant: index into the results' variants.
        images_per_s: batch / p50.
        speedup: images a second against one thread and one image a call.
        note: why it was not measured, where it was not.
    """

    variant: int
    threads: int
    batch: int
    p50_ms: Interval | None = None
    images_per_s: float | None = None
    speedup: Interval | None = None
    note: str = ""


class Layer(Value):
    """One operator of the recommended file.

    Attributes:
        kernel: what the runtime really ran. share: of the time of all operators.
        sqnr_db: signal to noise of its output against the network without quantization; None where unknown.
    """

    name: str
    kernel: str
    ms: float
    share: float
    sqnr_db: float | None = None


class Failure(Value):
    """A file that could not be measured on a runtime, while the rest of the study went on.

    Attributes:
        format, runtime: "" where the recipe came to no file.
    """

    recipe: str
    format: str
    runtime: str
    reason: str


class Parity(Value):
    """How well a hand-off kept the answers, on the probe's images.

    Attributes:
        max_difference: largest |Δ| of any logit. scale: largest |logit|.
        agreement: share of images with the same top-1.
        ties: share of those whose top-1 is another, but whose two classes were closer than the logits' noise.
        sqnr_db: signal to noise of the logits.
    """

    images: int
    max_difference: float
    scale: float
    agreement: float
    ties: float = 0.0
    sqnr_db: float


class Variant(Value):
    """One recipe's artifact on one runtime.

    Attributes:
        validation_top1: what the budget is judged by; ``top1`` is the test split's.
        parent: the recipe this one was made from; "" for a first one.
        versus_parent: parent latency / this latency on the same runtime; above 1 is faster.
        note: why a compressed variant is not faster, where it is not.
        top5: None where there are five classes or fewer.
        per_class: share of each class's test images that is right, in the order of the classes; None without images.
        calibration_error: expected calibration error (Guo et al., 2017), 15 bins, a fraction of 1.
        agreement: share of test images with the reference's top-1.
        compressed_bytes: of the file, by DEFLATE, as app stores send it.
        energy_mj: millijoules of one image, where the machine tells.
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
    top5: Interval | None = None
    per_class: tuple[float | None, ...]
    calibration_error: float
    agreement: float
    file_bytes: int
    compressed_bytes: int
    footprint: Footprint | None = None
    limit: Limit | None = None
    energy_mj: float | None = None
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
        labelled: the images' labels are known; else top-1 is agreement with the reference's answers.
        warnings: what a reader should know of the data and the training: images that two splits
            share or that were left out, a batch that was halved.
        reference: index of the variant that all others are compared with.
        conditions: what else the machine did while latency was measured.
        sweeps: other numbers of threads and images a call, where asked for.
        layers: of the recommended file, in the order they run.
        failures: what could not be measured.
    """

    schema_version: int = SCHEMA_VERSION
    study: str
    data: str
    data_digest: str
    seed: int
    created: str
    classes: tuple[str, ...]
    splits: Mapping[str, int] = {}
    labelled: bool = True
    warnings: tuple[str, ...] = ()
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    budget: Budget
    benchmark: Mapping[str, Any]
    reference: int
    variants: tuple[Variant, ...]
    stages: tuple[StageRecord, ...]
    recommendation: Recommendation
    conditions: Conditions
    sweeps: tuple[Sweep, ...] = ()
    layers: tuple[Layer, ...] = ()
    failures: tuple[Failure, ...] = ()

    @property
    def judged_by(self) -> str:
        """What top-1 is, in a word."""
        return "top-1" if self.labelled else "agreement"


def read_results(folder: Path) -> Results:
    """The results of a finished run.

    Raises:
        UsageError: there are none in ``folder``, they are damaged, or of an earlier schema.
        NewerFormat: they were written by a later edgewright.
    """
    path = folder / RESULTS if folder.is_dir() else folder
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        version = int(data["schema_version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is missing or holds no results", "run the study first") from None
    NewerFormat.refuse(path, version, SCHEMA_VERSION)
    if version < SCHEMA_VERSION:
        cause = f"{path} has schema version {version}, which is no longer read"
        raise UsageError(cause, "run the study again; what is finished of it is kept")
    try:
        return Results.model_validate(data)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) for item in error.errors()[:3])
        raise UsageError(f"{path} is damaged: {fields}", "run the study again") from None
