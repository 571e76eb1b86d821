"""What the bundle's tests share: a measured variant, and the example run as its user would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact
from pipeline.bundle.card import Shipped
from pipeline.dataset import DataSet
from pipeline.results import Conditions, Difference, Interval, Latency, Parity, Recommendation, Results, Variant
from pipeline.spec import Budget


@dataclass(frozen=True)
class Made:
    """A bundle, and what it was made of."""

    folder: Path
    artifact: Artifact
    data: DataSet
    session: Callable[[Any], Any]


CONDITIONS = Conditions(
    seconds=9.0, sittings=4, set_aside=0, others=0.0, steal=0.0, drift=1.0, precision=0.02, energy="not available"
)


def variant(**changes: Any) -> Variant:
    """A measured variant with numbers that are easy to find in a text."""
    one = Interval(value=1.0, low=0.9, high=1.1)
    fields: dict[str, Any] = {
        "recipe": "tiny",
        "format": "onnx",
        "runtime": "onnxruntime",
        "integer": False,
        "folder": "models/tiny/onnx",
        "top1": Interval(value=0.9123, low=0.88, high=0.9412),
        "correct": 410,
        "images": 450,
        "validation_top1": 0.9,
        "versus_reference": Difference(difference=one, p_value=1.0, only_reference=0, only_variant=0),
        "latency": Latency(
            p50_ms=Interval(value=0.321, low=0.3, high=0.35),
            p90_ms=Interval(value=0.4, low=0.38, high=0.43),
            p99_ms=Interval(value=0.5, low=0.45, high=0.6),
            mean_ms=Interval(value=0.33, low=0.32, high=0.34),
            ratio=Interval(value=1.87, low=1.8, high=1.95),
            verdict="faster",
            sittings_ms=(0.3, 0.32),
            calls=120,
            openings=4,
            warm_up_calls=8,
        ),
        "per_class": (0.9,) * 10,
        "calibration_error": 0.02,
        "agreement": 0.99,
        "file_bytes": 1_234_567,
        "compressed_bytes": 1_111_111,
        "params": 98_765,
        "macs": 4_321_000,
        "parity": Parity(images=32, max_difference=0.0, scale=1.0, agreement=1.0, sqnr_db=120.0),
        "lineage": (),
        "within_budget": True,
        "on_front": True,
    }
    return Variant(**{**fields, **changes})


def results_of(*variants: Variant, **changes: Any) -> Results:
    """What a run found that has these variants, the first of them its reference."""
    fields: dict[str, Any] = {
        "study": "digits-study",
        "data": "handwritten digits",
        "data_digest": "1d69674e",
        "seed": 0,
        "created": "2026-01-01T00:00:00+00:00",
        "classes": tuple(str(digit) for digit in range(10)),
        "splits": {"train": 1168, "test": 450},
        "machine": {"cpu": "a processor"},
        "versions": {},
        "budget": Budget(),
        "benchmark": {},
        "reference": 0,
        "variants": variants,
        "stages": (),
        "recommendation": Recommendation(variant=0, sentence="ship it"),
        "conditions": CONDITIONS,
    }
    return Results(**{**fields, **changes})


def shipped(**changes: Any) -> Shipped:
    """One variant of a run, the only one."""
    return Shipped(results_of(variant(**changes)), 0)


def classify(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the bundle's example as its user would, away from this project's folder."""
    return program(folder, "classify.py", *arguments)


def program(folder: Path, name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of the bundle's programs as its user would."""
    command = [sys.executable, "-P", folder / name, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=120)
