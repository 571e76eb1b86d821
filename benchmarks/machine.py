"""Where the results of this machine live."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pipeline.measure.machine import cpu_name, usable_cores
from pipeline.results import RESULTS, Results

RESULTS_ROOT = Path(__file__).parent / "results"


def results_folder() -> Path:
    """``benchmarks/results/<cpu>-<cores>-cores``, made if it is not there."""
    slug = re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-")
    folder = RESULTS_ROOT / f"{slug}-{usable_cores()}-cores"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def keep(name: str, results: Results) -> Path:
    """Write a run's results to ``<results folder>/<name>-results.json``."""
    path = results_folder() / f"{name}-{RESULTS}"
    path.write_text(json.dumps(results.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
    return path
