"""Models as files in a runtime: made, answered and timed aside, and gone afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from planted import healthy
from tiny import family

from pipeline.artifact import Artifact
from pipeline.aside import Aside
from pipeline.errors import ParityMiss, UsageError
from pipeline.exporters.onnx import ExportOnnx
from pipeline.exporters.pt2 import ExportPt2
from pipeline.model import Model
from pipeline.runtime import Runtime
from pipeline.runtimes.eager import Eager
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stage import Context
from pipeline.study import Benchmark
from pipeline.tuners._measured import Gauge, exporter_for, measured

SHORT = Benchmark(seconds=0.5, rounds=1, calls=1, sittings=4)


class Unheard(Runtime):
    """Opens what nobody makes."""

    kind: ClassVar[str] = "unheard"
    format: ClassVar[str] = "punched cards"
    package: ClassVar[str] = "cards"

    def open(self, artifact: Artifact, threads: int) -> Any:
        raise AssertionError


def test_every_model_has_its_latency_against_the_first(untrained: Model, context: Context) -> None:
    small, large = family("dense", untrained), family("lenet", untrained)
    told: list[int] = []
    slow, same, fast = measured(
        [large, large, small], OnnxRuntime(), context, SHORT, lambda done, total, note="": told.append(done)
    )
    assert slow.verdict == "reference"
    assert slow.ratio.value == 1
    assert fast.ratio.value > 1.5
    assert fast.ratio.low <= fast.ratio.value <= fast.ratio.high
    assert same.ratio.low < 1.3
    assert fast.p50_ms.value < slow.p50_ms.value
    assert told


def test_a_file_answers_as_its_model_and_goes_with_the_block(int8: Model, context: Context, kept_aside: Aside) -> None:
    validation = context.data.validation
    with Gauge(OnnxRuntime(), context, SHORT, kept_aside) as gauge:
        one, other = gauge.exported(int8), gauge.exported(int8)
        logits_NK = gauge.logits_NK(one, validation)
        folders = [one.folder, other.folder]
        assert len(set(folders)) == 2
        assert all(folder.is_dir() for folder in folders)
    assert (logits_NK.argmax(1) == int8.logits_NK(validation.x_NCHW()).argmax(1)).mean() > 0.95
    assert not any(folder.exists() for folder in folders)


def test_a_file_that_answers_something_else_is_not_judged(context: Context, kept_aside: Aside, tmp_path: Path) -> None:
    draft = ExportOnnx()(healthy(context), context)
    probe = replace(draft.probe, logits_NK=1.01 * draft.probe.logits_NK)
    replace(draft, probe=probe).save(tmp_path)
    with Gauge(OnnxRuntime(), context, SHORT, kept_aside) as gauge, pytest.raises(ParityMiss):
        gauge.logits_NK(Artifact.load(tmp_path), context.data.validation.take(np.arange(4)))


def test_the_exporter_is_that_of_the_runtimes_format() -> None:
    assert exporter_for(OnnxRuntime()) == ExportOnnx()
    assert exporter_for(Eager()) == ExportPt2()
    with pytest.raises(UsageError, match="no installed exporter makes punched cards files for unheard"):
        exporter_for(Unheard())
