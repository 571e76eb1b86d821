"""A promise beside what was measured, and how a machine's figures are kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import results_folder
from pipeline.measure.machine import machine_facts, versions


class Figure(NamedTuple):
    """One promise: what was measured, and the bound it must keep."""

    name: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def line(self) -> str:
        verdict, sign = "kept" if self.kept else "MISSED", "≥" if self.at_least else "≤"
        return f"{verdict:<7} {self.name:<66} {self.value:8.2f}  (promised {sign} {self.bound:g})"


def save(name: str, command: str, figures: Sequence[Figure]) -> Path:
    """Write the figures with their machine to ``<results folder>/<name>.json``."""
    record = {
        "command": command,
        "machine": machine_facts(),
        "versions": dict(versions()),
        "figures": [{**figure._asdict(), "kept": figure.kept} for figure in figures],
    }
    path = results_folder() / f"{name}.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def tell(name: str, command: str, figures: Sequence[Figure]) -> int:
    """Print and keep the figures; the exit code, 1 where a promise is not kept."""
    print("\n".join(figure.line() for figure in figures))
    print(f"written to {save(name, command, figures)}")
    return 0 if all(figure.kept for figure in figures) else 1
