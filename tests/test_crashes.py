"""A runtime that crashes costs its variant, and never the study."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, ClassVar

import pytest
from fragile import Broad, Fragile, Proud
from rich.console import Console
from tiny_run import TinyRun, copied, edgewright, study, written

from pipeline import plugin
from pipeline.artifact import Artifact
from pipeline.bundle.verify import verify_folder
from pipeline.errors import StageFailed
from pipeline.exporters.onnx import ExportOnnx
from pipeline.model import Model
from pipeline.results import Results, read_results
from pipeline.run import run
from pipeline.runtime import Runtime
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.study import Benchmark, read_study

BENCHMARK = Benchmark(**{**study()["benchmark"], "cold_starts": 0})


@pytest.fixture
def tiny(tmp_path: Path) -> TinyRun:
    return copied(tmp_path)


def ran(tiny: TinyRun, *runtimes: Runtime) -> tuple[Results, str]:
    """The results on those runtimes, and what was said."""
    changed = read_study(study()).model_copy(update={"runtimes": runtimes, "benchmark": BENCHMARK})
    console = Console(file=io.StringIO(), width=200)
    results = run(changed, tiny.out, threads=1, device="cpu", console=console)
    return results, console.file.getvalue()  # type: ignore[attr-defined]


def names(results: Results) -> list[str]:
    return [variant.name for variant in results.variants]


@pytest.mark.parametrize("when", ["opening", "answering", "timed"])
def test_the_study_goes_on_without_the_variant(when: Any, tiny: TinyRun) -> None:
    results, said = ran(tiny, OnnxRuntime(), Fragile(when=when))
    assert names(results) == ["base · onnxruntime", "base · fragile", "int8 · onnxruntime"]
    [failure] = results.failures
    assert (failure.recipe, failure.format, failure.runtime) == ("int8", "onnx", "fragile")
    assert failure.reason.startswith("int8 · onnx on fragile")
    assert "crashed (SIGSEGV)" in failure.reason
    assert said.count(f"warning: {failure.reason}; the study goes on without it") == 1
    assert read_results(tiny.out).failures == results.failures
    assert "crashed (SIGSEGV)" in (tiny.out / "report.html").read_text()
    assert verify_folder(tiny.out)


class Picky(ExportOnnx):
    """ONNX, as it would be if it held no integers."""

    kind: ClassVar[str] = "Picky"
    format: ClassVar[str] = "picky"

    def refusal(self, model: Model) -> str:
        return "picky holds no integers" if model.integer else ""


def test_the_study_goes_on_without_a_file_that_its_format_cannot_hold(tiny: TinyRun) -> None:
    update = {"exports": (ExportOnnx(), Picky()), "runtimes": (Broad(),), "benchmark": BENCHMARK}
    console = Console(file=io.StringIO(), width=200)
    changed = read_study(study()).model_copy(update=update)
    results = run(changed, tiny.out, threads=1, device="cpu", console=console)
    found = [(variant.recipe, variant.format) for variant in results.variants]
    assert found == [("base", "onnx"), ("base", "picky"), ("int8", "onnx")]
    [failure] = results.failures
    assert (failure.recipe, failure.format, failure.runtime) == ("int8", "picky", "broad")
    assert failure.reason == "int8 · Picky: picky holds no integers"
    assert f"warning: {failure.reason}; the study goes on without it" in console.file.getvalue()  # type: ignore[attr-defined]
    assert verify_folder(tiny.out)


def test_the_study_goes_on_without_what_a_runtime_refuses(tiny: TinyRun) -> None:
    results, said = ran(tiny, OnnxRuntime(), Proud())
    assert names(results) == ["base · onnxruntime", "base · proud", "int8 · onnxruntime"]
    [failure] = results.failures
    assert (failure.recipe, failure.format, failure.runtime) == ("int8", "onnx", "proud")
    assert failure.reason == "int8 · onnx on proud: integers are beneath it"
    assert said.count(f"warning: {failure.reason}; the study goes on without it") == 1


def test_what_nothing_here_runs_is_delivered_and_said_to_be_unchecked(tiny: TinyRun) -> None:
    update = {"exports": (ExportOnnx(), Picky()), "benchmark": BENCHMARK}
    console = Console(file=io.StringIO(), width=200)
    changed = read_study(study()).model_copy(update=update)
    results = run(changed, tiny.out, threads=1, device="cpu", console=console)
    assert [(variant.recipe, variant.format) for variant in results.variants] == [("base", "onnx"), ("int8", "onnx")]
    unrun, refused = results.failures
    assert (unrun.recipe, unrun.format, unrun.runtime) == ("base", "picky", "no runtime")
    assert "its answers unchecked" in unrun.reason
    assert "base · Picky: no runtime of the study opens it" in console.file.getvalue()  # type: ignore[attr-defined]
    assert (refused.recipe, refused.reason) == ("int8", "int8 · Picky: picky holds no integers")
    assert Artifact.load(tiny.out / "models" / "base" / "picky").manifest.format == "picky"
    assert verify_folder(tiny.out)


def test_what_crashed_is_tried_again_and_the_rest_is_kept(tiny: TinyRun) -> None:
    ran(tiny, OnnxRuntime(), Fragile())
    results, said = ran(tiny, OnnxRuntime(), Fragile())
    assert [record.status for record in results.stages] == ["cached"] * len(results.stages)
    assert len(results.failures) == said.count("warning:") == 1


def test_the_reference_is_the_one_that_is_left(tiny: TinyRun) -> None:
    for when in ("opening", "timed"):
        results, _ = ran(tiny, Fragile(of=("base",), when=when), OnnxRuntime())
        assert names(results) == ["base · onnxruntime", "int8 · fragile", "int8 · onnxruntime"]
        assert results.reference == 0
        assert results.variants[0].latency.verdict == "reference"


@pytest.mark.parametrize("when", ["opening", "timed"])
def test_a_reference_that_crashes_everywhere(when: Any, tiny: TinyRun) -> None:
    before = (tiny.out / "results.json").read_bytes()
    with pytest.raises(StageFailed, match="the reference, base, could not be measured on any runtime") as caught:
        ran(tiny, Fragile(of=("base",), when=when))
    assert caught.value.exit_code == 4
    assert (tiny.out / "results.json").read_bytes() == before


def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let studies name the runtime."""
    found = plugin.room_plugins

    def room_plugins(room: str) -> tuple[type[plugin.Plugin], ...]:
        return (*found(room), Fragile) if room == "runtimes" else found(room)

    monkeypatch.setattr(plugin, "room_plugins", room_plugins)


@pytest.mark.parametrize(("of", "code"), [(["int8"], 0), (["base"], 4)])
def test_the_command(of: list[str], code: int, tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch)
    changed = {**study(), "runtimes": [{"fragile": {"of": of}}]}
    changed["benchmark"]["cold_starts"] = 0
    said = edgewright("run", written(tiny.file.parent, changed), "--out", tiny.out, "--threads", "1")
    assert said.exit_code == code, said.stderr
    assert "on fragile: the runtime crashed (SIGSEGV); the study goes on without it" in said.stderr
    assert "Traceback" not in said.stderr
    if code:
        assert "error: the reference, base, could not be measured on any runtime" in said.stderr
