"""The table of families: none is missing, and a pruned file is timed only once it answers as its module."""

from __future__ import annotations

import pytest

from benchmarks import pruning_engine
from benchmarks.pruning_engine import families, figures
from pipeline.data.digits import Digits
from pipeline.models.architecture import Architecture
from pipeline.models.lenet import LeNet
from pipeline.plugin import discover
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.study import Benchmark

QUICK = Benchmark(seconds=0.5, sittings=4, rounds=1, calls=1, cold_starts=0)


def test_every_family_has_its_rows() -> None:
    known = {plugin for plugin in discover("stage").values() if issubclass(plugin, Architecture)}
    assert {type(family) for family in families().values()} == known


def test_a_family_whole_and_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning_engine, "runtimes", lambda: {"ONNX Runtime": OnnxRuntime()})
    macs, *speeds = figures("LeNet", LeNet(), Digits(size=28).load(), QUICK)
    assert macs.value > 1.5
    assert [figure.name.partition(":")[0] for figure in speeds] == [
        "LeNet, ONNX Runtime, float",
        "LeNet, ONNX Runtime, int8",
    ]
    assert all(figure.value > 0 and figure.at_least for figure in speeds)
