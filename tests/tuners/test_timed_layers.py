from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from pipeline.aside import Aside
from pipeline.errors import StageFailed
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stranger import unvouched
from pipeline.tuners import _timed_layers
from pipeline.tuners._layer_files import write_layers
from pipeline.tuners._layers import Axis, Layer, LayerShape
from pipeline.tuners._timed_layers import Bench, branches_ms, parted, remembered, timed_layers

ALL = ("relu6", "add", "hardswish", "mean", "multiply", "silu", "sigmoid", "hardsigmoid", "relu")
SAME = (1, 1, 1, 1)
SHAPES = {
    "convolution": LayerShape(kind="convolution", size=(8, 8), kernel=(3, 3), stride=(2, 2), padding=SAME, after=ALL),
    "depthwise": LayerShape(kind="depthwise", size=(8, 8), kernel=(3, 3), padding=SAME, after=("relu",)),
    "grouped": LayerShape(kind="convolution", size=(8, 8), groups=4, after=("hardswish",)),
    "linear": LayerShape(kind="linear", after=("relu",)),
}


@pytest.mark.parametrize("integer", [False, True], ids=["float", "int8"])
@pytest.mark.parametrize("name", SHAPES)
def test_every_branch_runs_and_is_told(name: str, integer: bool, tmp_path: Path) -> None:
    points = [(8, 16), (16, 32)] if name != "depthwise" else [(1, 16), (1, 24)]
    write_layers(SHAPES[name], points, integer, tmp_path / "layers.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "layers.onnx"), full_check=True)
    ms = branches_ms(OnnxRuntime(), tmp_path / "layers.onnx", 1)
    assert len(ms) == 2
    assert min(ms) > 0


def test_int8_layers_run_on_integer_kernels(tmp_path: Path) -> None:
    write_layers(SHAPES["depthwise"], [(1, 24)], True, tmp_path / "layers.onnx")
    artifact = unvouched(tmp_path / "layers.onnx", "onnx", 1, (1, 1, 1))
    kernels = OnnxRuntime().profile(artifact, np.ones((1, 1, 1, 1), np.float32), 1)
    assert {kernel.kernel for kernel in kernels if kernel.name.startswith("0:")} == {"QLinearConv"}


@pytest.fixture
def bench(kept_aside: Aside, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    monkeypatch.setattr(_timed_layers, "Aside", lambda: kept_aside)
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path))
    return Bench(OnnxRuntime(), integer=False, threads=1)


LAYERS = [Layer("head", SHAPES["linear"], Axis(0, ((1, 32, 32),)), Axis(10))]


def test_layers_are_timed_once_a_machine(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    table = timed_layers(LAYERS, 8, bench)
    assert table.grid(LAYERS[0]).inputs == (8, 16, 24, 32)
    monkeypatch.setattr(_timed_layers, "branches_ms", None)
    assert timed_layers(LAYERS, 8, bench).ms == table.ms
    assert Bench(OnnxRuntime(), integer=True, threads=1).memory != bench.memory


@pytest.mark.parametrize("damage", ["", "{", '{"no shape": []}', json.dumps([1])])
def test_a_damaged_memory_is_no_memory(damage: str, bench: Bench) -> None:
    bench.memory.parent.mkdir(parents=True)
    bench.memory.write_text(damage)
    assert remembered(bench.memory) == {}


def silent(*_: object) -> list[float]:
    return []


def test_a_runtime_that_tells_nothing_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_timed_layers, "branches_ms", silent)
    monkeypatch.setattr(Aside, "do", lambda _self, work, *arguments: work(*arguments))
    with pytest.raises(StageFailed, match="onnxruntime does not tell what"):
        timed_layers(LAYERS, 8, bench)
    assert not bench.memory.exists()


def test_large_layers_have_files_of_their_own() -> None:
    points = [(25088, 1024), (25088, 2048), (8, 8), (16, 8)]
    assert [part.points for part in parted(SHAPES["linear"], points)] == [(points[0],), (points[1],), tuple(points[2:])]
