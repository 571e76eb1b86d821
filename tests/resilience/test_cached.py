"""A run does what changed, and nothing else."""

from __future__ import annotations

from pathlib import Path

from resilience_kit import finish
from resilience_studies import QUICK, Finished, artifact_bytes, changed, done, written

LATENCY = "latency of"


def test_nothing_changed(quick: Finished, tmp_path: Path) -> None:
    out = quick.copy(tmp_path / "out")
    command = finish(quick.study, out)
    lines = [line for line in command.stderr.splitlines() if line.startswith("[")]
    assert done(out) == []
    assert len(lines) == 10
    assert all("  cached" in line for line in lines)
    assert artifact_bytes(out) == artifact_bytes(quick.out)


def test_only_the_benchmark_changed(quick: Finished, tmp_path: Path) -> None:
    out = quick.copy(tmp_path / "out")
    finish(written(tmp_path / "study.yaml", changed(QUICK, "benchmark", "rounds", to=3)), out)
    [only] = done(out)
    assert only.startswith(LATENCY)


def test_one_recipe_changed(quick: Finished, tmp_path: Path) -> None:
    out = quick.copy(tmp_path / "out")
    study = changed(QUICK, "recipes", "pruned", 1, "Prune", "ratio", to=0.4)
    finish(written(tmp_path / "study.yaml", study), out)
    own = ["Prune", "Train", "ExportTorchScript", "torchscript on torchscript"]
    *of_the_recipe, last = done(out)
    assert of_the_recipe == [f"pruned · {stage}" for stage in own]
    assert last.startswith(LATENCY)
