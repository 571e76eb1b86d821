"""A start from nothing: its time, and memory that is its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.artifact import Artifact
from pipeline.exporters.onnx import ExportOnnx
from pipeline.measure import footprint
from pipeline.measure.footprint import Start, cold_start, first_answer, memory_bytes, summary
from pipeline.model import Model
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stage import Context


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, untrained: Model, context: Context) -> Artifact:
    folder = tmp_path_factory.mktemp("footprint")
    ExportOnnx()(untrained, context).save(folder)
    return Artifact.load(folder)


def start(artifact: Artifact) -> Start:
    return cold_start(OnnxRuntime(), artifact, np.zeros((1, 1, 16, 16), np.float32), 1)


def test_the_parts_fit_into_the_whole(artifact: Artifact) -> None:
    found = start(artifact)
    assert found.peak_bytes > found.grown_bytes > 0
    assert found.load_ms > 0
    assert found.first_ms > 0
    assert found.cold_start_ms >= found.load_ms + found.first_ms
    assert found.peak_bytes < 2**30


def test_memory_of_whoever_started_it_does_not_count(artifact: Artifact) -> None:
    before = start(artifact)
    held = np.ones(300_000_000, np.uint8)
    after = start(artifact)
    assert held.sum() == len(held)
    assert memory_bytes("VmHWM") > 300_000_000
    assert abs(after.peak_bytes - before.peak_bytes) < 100_000_000


def test_memory_is_that_of_the_file(artifact: Artifact) -> None:
    """In this very process, which holds much already: what is grown is new."""
    held = np.ones(100_000_000, np.uint8)
    load_ms, first_ms, peak_bytes, grown_bytes = first_answer(
        OnnxRuntime(), artifact, np.zeros((1, 1, 16, 16), np.float32), 1
    )
    assert held.sum() == len(held)
    assert peak_bytes > 100_000_000
    assert 0 <= grown_bytes < peak_bytes
    assert load_ms > 0 < first_ms


def test_where_linux_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    exact = {name: memory_bytes(name) for name in ("VmRSS", "VmHWM")}
    monkeypatch.setattr(footprint, "STATUS", Path("none"))
    for name, value in exact.items():
        assert memory_bytes(name) == pytest.approx(value, rel=0.2)


def test_several_starts_are_told_as_one() -> None:
    assert summary([]) is None
    found = summary([Start(300, 30, 3, 1000, 90), Start(100, 10, 5, 3000, 70), Start(200, 20, 1, 2000, 80)])
    assert found is not None
    assert (found.cold_start_ms.low, found.cold_start_ms.value, found.cold_start_ms.high) == (100, 200, 300)
    assert (found.load_ms.value, found.first_ms.value) == (20, 3)
    assert (found.peak_bytes, found.grown_bytes) == (3000, 90)
