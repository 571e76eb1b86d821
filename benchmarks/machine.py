"""Where the results of this machine live."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.measure.machine import cpu_name, usable_cores

RESULTS_ROOT = Path(__file__).parent / "results"


def results_folder() -> Path:
    """``benchmarks/results/<cpu>-<cores>-cores``, made if it is not there."""
    slug = re.sub(r"[^a-z0-9]+", "-", cpu_name().lower()).strip("-")
    folder = RESULTS_ROOT / f"{slug}-{usable_cores()}-cores"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
