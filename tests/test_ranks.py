"""Several processes, one training: the result does not depend on how many there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipeline.ranks import ALONE, Ranks, joined, leading

STUDY: dict[str, Any] = {
    "name": "together",
    "data": {"digits": {"size": 8}},
    "reference": "dense",
    "recipes": {
        "dense": [
            {"Dense": {"hidden": [32], "dropout": 0.0}},
            {"Train": {"epochs": 2, "batch": 64, "lr": 0.1, "augment": "none"}},
            {"Train": {"epochs": 1, "batch": 64, "lr": 0.01, "augment": "none"}},
        ]
    },
    "exports": ["ExportOnnx"],
    "runtimes": ["onnxruntime"],
    "budget": {"max_drop": 1.0},
    "benchmark": {"sittings": 4, "rounds": 2, "calls": 1, "seconds": 5.0, "cold_starts": 0},
}


def torchrun(processes: int, file: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    study = ["-m", "pipeline", "run", str(file), "--out", str(out), "--device", "cpu", "--threads", "2", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command, *study], capture_output=True, text=True, env=environment, timeout=300, check=False
    )


def written(folder: Path, study: dict[str, Any]) -> Path:
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder / "study.yaml"


def trained_weights(out: Path) -> dict[str, torch.Tensor]:
    """The weights at the end of the recipe: those of the last stage done."""
    stages = json.loads((out / "results.json").read_text())["stages"]
    [key] = [stage["key"] for stage in stages if stage["label"] == "dense · Train"][-1:]
    return load_file(out / ".store" / key / "weights.safetensors")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folder = tmp_path_factory.mktemp("ranks")
    file = written(folder, STUDY)
    outs = {}
    for processes in (1, 2):
        done = torchrun(processes, file, folder / str(processes))
        assert done.returncode == 0, done.stderr[-3000:]
        assert json.loads(done.stdout)["study"] == "together"  # told once
        outs[processes] = folder / str(processes)
    return outs


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(runs: dict[int, Path]) -> None:
    one, two = (trained_weights(out) for out in runs.values())
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_a_finished_run_is_cached_for_any_number(runs: dict[int, Path], tmp_path: Path) -> None:
    again = torchrun(2, written(tmp_path, STUDY), runs[1])
    assert again.returncode == 0, again.stderr[-3000:]
    assert {stage["status"] for stage in json.loads(again.stdout)["stages"]} == {"cached"}


@pytest.mark.slow
def test_all_processes_stop_where_the_loss_is_not_a_number(tmp_path: Path) -> None:
    study = json.loads(json.dumps(STUDY))
    study["recipes"]["dense"][1]["Train"]["lr"] = 1e30
    failed = torchrun(2, written(tmp_path, study), tmp_path / "out")
    assert failed.returncode != 0
    assert failed.stderr.count("error: dense · Train: the loss became") >= 1


def test_alone_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert leading()
    with joined() as ranks:
        assert ranks == ALONE
    assert ALONE.leads
    ALONE.announce(3)
    value = torch.tensor([1.0, 2.0])
    assert torch.equal(ALONE.mean(value), torch.tensor([1.0, 2.0]))
    module = torch.nn.Linear(1, 1)
    assert ALONE.together(module) is module


def test_only_the_first_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert not leading()
    assert not Ranks(1, 2).leads
