"""Measurements whose every number a test has chosen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifact import Artifact, Manifest
from pipeline.assess import Answered
from pipeline.conclude import Measured, conclude
from pipeline.dataset import DataSet, Samples, Splits
from pipeline.images import Held
from pipeline.measure.limit import Floor
from pipeline.measure.timings import Sitting, Timings
from pipeline.measure.watch import Seen
from pipeline.results import Parity, Results
from pipeline.runtimes.eager import Eager
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.spec import InputSpec
from pipeline.study import Study, read_study
from pipeline.timing import Timed, entrants_of

SPEC = InputSpec(size=(1, 1), resize=1, color="L", mean=(0.0,), std=(1.0,))
IMAGES, CLASSES = 200, 4
CALM, DISTURBED = Seen(1.0, 0.0, 0.0), Seen(1.0, 1.5, 0.0)
FLOOR = Floor(ms=0.1, bound="memory")
RUNTIMES = {"onnx": OnnxRuntime(), "pt2": Eager()}


@dataclass(frozen=True)
class Case:
    """A variant as a test wants it: how many of 200 images it gets right, how fast and how large it is."""

    recipe: str
    validation: int = 190
    test: int = 190
    ms: float = 1.0
    size: int = 1000
    packed: int = 0  # half of the size unless given
    parent: str = ""
    format: str = "onnx"
    integer: bool = False
    batch: int = 1


def samples() -> Samples:
    labels_N = np.arange(IMAGES) % CLASSES
    return Samples(Held(np.zeros((IMAGES, 1, 1, 1), np.uint8)), labels_N.astype(np.int64), SPEC)


def data() -> DataSet:
    part = samples()
    splits = Splits(part, part, part, tuple("abcd"), SPEC)
    return DataSet(splits, part, (), "numbers")


def logits(right: int) -> np.ndarray:
    """Answers that are right for the first so many images."""
    labels_N = samples().labels_N
    answered_N = np.where(np.arange(IMAGES) < right, labels_N, (labels_N + 1) % CLASSES)
    return np.eye(CLASSES, dtype=np.float32)[answered_N]


def study_of(cases: tuple[Case, ...], budget: dict[str, Any], benchmark: dict[str, Any] | None = None) -> Study:
    recipes: dict[str, Any] = {
        case.recipe: [{"after": case.parent}, "Train"] if case.parent else ["MobileNetV3"] for case in cases
    }
    formats = {case.format: None for case in cases}
    return read_study(
        {
            "name": "known",
            "data": "digits",
            "reference": cases[0].recipe,
            "recipes": recipes,
            "exports": [{"onnx": "ExportOnnx", "pt2": "ExportPt2"}[name] for name in formats],
            "runtimes": [RUNTIMES[name].kind for name in formats],
            "budget": budget,
            "benchmark": benchmark or {},
        }
    )


def answered(case: Case, folder: Path) -> Answered:
    where = folder / case.recipe / case.format
    where.mkdir(parents=True)
    (where / "model").write_bytes(b"x" * case.size)
    manifest = Manifest(
        recipe=case.recipe,
        format=case.format,
        file="model",
        integer=case.integer,
        batch=case.batch,
        input=SPEC,
        classes=tuple("abcd"),
        params=12,
        macs=34,
        lineage=(),
        tools={},
    )
    parity = Parity(images=32, max_difference=0.0, scale=1.0, agreement=1.0, sqnr_db=99.0)
    runtime = RUNTIMES[case.format]
    answers = logits(case.validation), logits(case.test)
    return Answered(Artifact(where, manifest), runtime, "k", "m", parity, *answers, case.packed or case.size // 2)


def timings(ms_SRVC: np.ndarray, seen: Seen = CALM, joules_V: np.ndarray | None = None) -> Timings:
    """Those milliseconds as if they had been measured: (sittings, rounds, variants, calls)."""
    warm_up_V = np.full(ms_SRVC.shape[2], 8)
    sittings = tuple(Sitting(ms_RVC, warm_up_V, seen, joules_V) for ms_RVC in ms_SRVC)
    return Timings(sittings, np.full(ms_SRVC.shape[2], len(sittings)), 12.5, "measured" if joules_V is not None else "")


def measured(folder: Path, ms_SRVC: np.ndarray, *cases: Case, seen: Seen = CALM, **budget: Any) -> Measured:
    """Those variants, so fast."""
    found, study = [answered(case, folder) for case in cases], study_of(cases, budget)
    entrants, refused = entrants_of(found, study.benchmark)
    timed = Timed(timings(ms_SRVC, seen), (FLOOR,) * len(cases), tuple(entrants), tuple(refused))
    return Measured(study, data(), found, timed, [None] * len(cases))


def concluded(folder: Path, *cases: Case, noise: float = 0.01, **budget: Any) -> Results:
    rng = np.random.default_rng(0)
    ms_SRVC = np.array([case.ms for case in cases])[:, None] * rng.lognormal(0, noise, (6, 5, len(cases), 3))
    return conclude(measured(folder, ms_SRVC, *cases, **budget), ())
