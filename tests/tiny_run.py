"""A whole study that takes seconds, done once for all who look at what a run leaves."""

from __future__ import annotations

import atexit
import copy
import io
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from typer.testing import CliRunner, Result

from pipeline.cli import app
from pipeline.results import Results
from pipeline.run import run
from pipeline.study import Study, read_study

STUDY: dict[str, Any] = {
    "name": "tiny",
    "data": {"digits": {"size": 8}},
    "reference": "base",
    "recipes": {
        "base": [
            {"MobileNetV3": {"width": 0.25, "stem_stride": 1}},
            {"Train": {"epochs": 3, "batch": 128, "augment": "none"}},
        ],
        "int8": [{"after": "base"}, "PostTraining"],
    },
    "exports": ["ExportOnnx"],
    "runtimes": ["onnxruntime"],
    "budget": {"max_drop": 1.0},
    "benchmark": {"sittings": 4, "rounds": 2, "calls": 1, "seconds": 5.0, "cold_starts": 1},
}


@dataclass(frozen=True)
class TinyRun:
    """The study's file, its finished output folder, and what the command said."""

    file: Path
    out: Path
    said: Result


def edgewright(*arguments: str | Path) -> Result:
    """The command, in this process; its words are in ``stdout`` and ``stderr``."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="edgewright")


def study() -> dict[str, Any]:
    """The study's YAML view, the caller's own to change."""
    return copy.deepcopy(STUDY)


def written(folder: Path, data: Any) -> Path:
    """The study as a file."""
    path = folder / "study.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
    return path


@cache
def finished() -> TinyRun:
    """The run; treat its folder as read-only, or take a ``copied`` one."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-run-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = written(folder, study())
    return TinyRun(file, folder / "out", edgewright("run", file, "--out", folder / "out", "--threads", "1", "--json"))


def copied(folder: Path) -> TinyRun:
    """The same run in a folder of one's own."""
    done = finished()
    shutil.copytree(done.out, folder / "out")
    return TinyRun(Path(shutil.copy(done.file, folder)), folder / "out", done.said)


def changed(**changes: Any) -> Study:
    return read_study({**study(), **changes})


def again(out: Path, **changes: Any) -> tuple[Results, str]:
    """The results of running a changed study in ``out``, and what was said meanwhile."""
    console = Console(file=io.StringIO(), width=200)
    results = run(changed(**changes), out, threads=1, device="cpu", console=console)
    return results, console.file.getvalue()  # type: ignore[attr-defined]


def done(results: Results) -> list[str]:
    return [record.label for record in results.stages if record.status == "done"]
