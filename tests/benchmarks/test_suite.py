"""Suites are studies, and one command runs one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_run import finished, study, written

from benchmarks import machine, suite, tables
from benchmarks.machine import keep
from pipeline.results import Results, read_results
from pipeline.settings import resolve

PROMISED = {"quick", "mobile", "fullsize-vs-mobile", "cifar10", "cats-dogs", "imagenet"}
MOBILE = {"MobileNetV2", "MobileNetV3", "MobileNetV4", "EfficientNetLite0"}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data root in which the suites' weights need not lie."""
    monkeypatch.setenv("EDGEWRIGHT_DATA", str(tmp_path))


def test_every_suite_is_there() -> None:
    assert set(suite.names()) >= PROMISED


@pytest.mark.parametrize("name", suite.names())
def test_a_suite_is_a_study(name: str, weights: None) -> None:
    found = resolve(str(suite.SUITES / f"{name}.yaml"))
    assert found.recipes
    # The built-in study of that name is another one; they must not share an output folder.
    assert found.name not in ("quickstart", "mnist", "cifar10", "cats_dogs")


def test_mobile_has_every_family_for_phones_float_and_int8_on_all_runtimes(weights: None) -> None:
    found = resolve(str(suite.SUITES / "mobile.yaml"))
    assert {recipe.stages[0].kind for recipe in found.recipes if not recipe.after} == MOBILE
    assert {recipe.after for recipe in found.recipes if recipe.after} == {r.name for r in found.recipes if not r.after}
    assert len(found.recipes) * len(found.runtimes) == 36
    assert {runtime.kind for runtime in found.runtimes} == {"onnxruntime", "torchscript", "eager"}


def test_one_command_runs_a_suite_and_keeps_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suites, results = tmp_path / "suites", tmp_path / "results"
    suites.mkdir()
    written(suites, study()).rename(suites / "tiny.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(suite, "SUITES", suites)
    monkeypatch.setattr(machine, "RESULTS_ROOT", results)
    monkeypatch.setattr(tables, "RESULTS_ROOT", results)
    monkeypatch.setattr(tables, "README", _readme(tmp_path))
    monkeypatch.setattr(tables, "quickstart_results", lambda: next(results.glob("*/tiny-results.json")))
    assert suite.main(["tiny", "--threads", "1", "--quiet"]) == 0
    [kept] = results.glob("*/tiny-results.json")
    assert read_results(kept) == read_results(tmp_path / "exported" / "tiny")
    assert f"{kept.parent.name}: tiny-results" in (results / "README.md").read_text()
    assert suite.main(["tiny", "--set", "nothing.here=1"]) == 2


def _readme(folder: Path) -> Path:
    path = folder / "README.md"
    path.write_text(f"before {tables.BEGIN} old {tables.END} after")
    return path


def test_results_are_kept_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "RESULTS_ROOT", tmp_path)
    results = read_results(finished().out)
    path = keep("tiny", results)
    assert path.parent.parent == tmp_path
    assert Results.model_validate(json.loads(path.read_text())) == results
