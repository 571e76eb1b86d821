"""What the bundle's tests share: a measured variant, and the example run as its user would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact
from pipeline.dataset import DataSet
from pipeline.results import Difference, Interval, Latency, Parity, Variant


@dataclass(frozen=True)
class Made:
    """A bundle, and what it was made of."""

    folder: Path
    artifact: Artifact
    data: DataSet
    session: Callable[[Any], Any]


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
            p90_ms=0.4,
            ratio=Interval(value=1.87, low=1.8, high=1.95),
            verdict="faster",
            rounds_ms=(0.3, 0.32),
        ),
        "file_bytes": 1_234_567,
        "params": 98_765,
        "macs": 4_321_000,
        "parity": Parity(images=32, max_difference=0.0, scale=1.0, agreement=1.0, sqnr_db=120.0),
        "lineage": (),
        "within_budget": True,
        "on_front": True,
    }
    return Variant(**{**fields, **changes})


def classify(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the bundle's example as its user would, away from this project's folder."""
    command = [sys.executable, "-P", folder / "classify.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=120)
