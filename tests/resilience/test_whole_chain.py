"""Distil, prune, distil, train int8 in, export: one recipe, killed after every one of its stages."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from resilience_kit import finish, started
from resilience_studies import (
    BASE,
    QUICK,
    Finished,
    artifact_bytes,
    changed,
    done,
    entries,
    temporaries,
    weights,
    written,
)

from pipeline.results import read_results

FULL_SIZE = [{"ResNet18": {"width": 0.25, "stem_stride": 1}}, {"Train": {"epochs": 1, "batch": 256}}]
TAUGHT = {"teacher": "full", "epochs": 1, "batch": 256}
CHAIN = [
    BASE[0],
    {"Distill": {**TAUGHT, "hint": 0.5}},
    {"Prune": {"ratio": 0.3}},
    {"Distill": TAUGHT},
    {"QuantizationAware": {**TAUGHT, "ema": 0.9}},
]
STUDY = changed({**QUICK, "reference": "full"}, "recipes", to={"full": FULL_SIZE, "small": CHAIN})
ENDS = ["MobileNetV3", "Distill", "Prune", "QuantizationAware", "ExportTorchScript"]


@pytest.fixture(scope="module")
def chain(quick: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("chain")
    study = written(folder / "study.yaml", STUDY)
    finish(study, folder / "out")
    return Finished(study, folder / "out", 0.0)


@pytest.mark.slow
def test_killed_after_every_stage(chain: Finished, tmp_path: Path) -> None:
    """Each start finds all that was done before, and the end is that of an undisturbed run."""
    out = tmp_path / "out"
    for end in ENDS:
        before = entries(out).keys()
        with started(chain.study, out) as command:
            command.wait_for(f"small · {end} ")
            command.send(signal.SIGKILL)
            command.wait()
        lines = [line for line in command.stderr.splitlines() if line.startswith("[")]
        assert sum("  cached" in line for line in lines) >= len(before)
        assert entries(out).keys() > before
    finish(chain.study, out)
    assert not {"full · Train", *(f"small · {end}" for end in ENDS)} & set(done(out))
    assert weights(out) == weights(chain.out)
    assert artifact_bytes(out).keys() == artifact_bytes(chain.out).keys()
    assert temporaries(out) == []


def test_what_comes_out_is_pruned_int8_of_the_whole_chain(chain: Finished) -> None:
    full, small = read_results(chain.out).variants
    assert small.integer
    kinds = [next(iter(stage)) for stage in small.lineage]
    assert kinds == ["MobileNetV3", "Distill", "Prune", "Distill", "QuantizationAware", "ExportTorchScript"]
    assert small.macs < full.macs
    assert small.file_bytes < full.file_bytes
