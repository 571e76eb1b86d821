"""The recommended file's operators: what ran, for how long, and with how much noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from measured import Case, answered
from rich.console import Console
from tiny_run import again, copied, finished

from pipeline import layers
from pipeline.aside import Aside, Crashed
from pipeline.assess import Answered
from pipeline.dataset import DataSet
from pipeline.execute import Workshop
from pipeline.layers import combined, layers_of
from pipeline.model import Model
from pipeline.results import read_results
from pipeline.runtime import Kernel
from pipeline.signals import StopSignal
from pipeline.store import Store


def test_shares_are_of_the_whole() -> None:
    results = read_results(finished().out)
    assert len(results.layers) > 10
    assert sum(layer.share for layer in results.layers) == pytest.approx(1, abs=1e-3)
    total_ms = sum(layer.ms for layer in results.layers)
    for layer in results.layers:
        assert layer.share == pytest.approx(layer.ms / total_ms, abs=1e-2)


def test_convolutions_of_an_int8_file_have_noise_and_float_ones_have_none(tmp_path: Path) -> None:
    """Whichever the clock recommends, a budget of bytes leaves only the int8 file."""
    tiny = copied(tmp_path)
    base, int8 = read_results(tiny.out).variants
    assert int8.file_bytes < base.file_bytes
    results, _ = again(tiny.out, budget={"max_drop": 1.0, "max_bytes": base.file_bytes - 1})
    assert results.recommendation.variant == 1
    convolutions = [layer for layer in results.layers if layer.kernel == "QLinearConv"]
    assert len(convolutions) > 10
    assert all(layer.sqnr_db is not None and layer.sqnr_db > 0 for layer in convolutions)
    assert not any(layer.name.startswith("node_") for layer in results.layers)
    floats, _ = again(tiny.out, budget={"max_drop": 1.0, "max_latency_ms": 1e-9})
    assert floats.layers == ()


class Told(Aside):
    """A process that gives what it is told to."""

    def __init__(self, given: tuple[Kernel, ...] | Crashed) -> None:
        super().__init__()
        self.given, self.asked = given, 0

    def do(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        if isinstance(self.given, Crashed):
            raise self.given
        return self.given


@pytest.fixture
def item(tmp_path: Path, digits: DataSet) -> Answered:
    """Of a file that takes the digits."""
    found = answered(Case("a"), tmp_path)
    manifest = found.artifact.manifest.model_copy(update={"input": digits.splits.spec})
    return replace(found, artifact=replace(found.artifact, manifest=manifest))


def shop(tmp_path: Path, digits: DataSet, model: Model, *given: Kernel, crash: str = "") -> Workshop:
    store = Store(tmp_path / "store")
    store.open()
    told = Told(Crashed(crash) if crash else given)
    return Workshop(digits, store, Console(quiet=True), StopSignal(), 0, "cpu", 1, aside=told, models={"m": model})


def test_they_are_asked_for_once(tmp_path: Path, digits: DataSet, trained: Model, item: Answered) -> None:
    made = shop(tmp_path, digits, trained, Kernel("node_conv2d_3", "Conv", 1.0), Kernel("linear_token_7", "Gemm", 3.0))
    first, second = (layers_of(made, item, 1) for _ in range(2))
    assert first == second
    assert [(layer.name, layer.kernel, layer.share) for layer in first] == [
        ("conv2d_3", "Conv", 0.25),
        ("linear", "Gemm", 0.75),
    ]
    assert made.aside.asked == 1  # type: ignore[attr-defined]
    layers_of(made, item, 2)
    assert made.aside.asked == 2  # type: ignore[attr-defined]


def test_a_runtime_without_a_profile_has_no_layers(
    tmp_path: Path, digits: DataSet, int8: Model, item: Answered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "layer_noise", None)
    assert layers_of(shop(tmp_path, digits, int8), item, 1) == ()


def test_a_profile_that_crashes_is_told_each_time(tmp_path: Path, digits: DataSet, int8: Model, item: Answered) -> None:
    made = shop(tmp_path, digits, int8, crash="the runtime crashed (SIGSEGV)")
    assert layers_of(made, item, 1) == layers_of(made, item, 1) == ()
    told = "operators of a · onnx on onnxruntime: the runtime crashed (SIGSEGV); the report does without"
    assert made.warnings == [told, told]


def test_operators_too_quick_for_the_clock() -> None:
    """Profiles count whole microseconds."""
    [found] = combined([Kernel("node_conv2d", "Conv", 0.0)], {"conv2d": 31.5})
    assert (found.name, found.share, found.sqnr_db) == ("conv2d", 0.0, 31.5)
