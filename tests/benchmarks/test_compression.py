"""Promises of compression: every one has its suite, and a loss is judged with its interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_run import finished

from benchmarks.compression import PROMISES, Promise, figures, index_of, losses
from benchmarks.suite import SUITES
from pipeline.predictions import Predictions
from pipeline.results import read_results
from pipeline.settings import resolve


@pytest.mark.parametrize("name", sorted(PROMISES))
def test_every_promise_is_of_recipes_in_its_suite(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_DATA", str(tmp_path))
    study = resolve(str(SUITES / f"compression-{name}.yaml"))
    assert study.name == f"compression-{name}"
    for promise in PROMISES[name]:
        names = [recipe.name for recipe in study.recipes]
        assert names.index(promise.against) < names.index(promise.recipe)
        if promise.speed:  # which is measured against the reference
            assert promise.against == study.reference


def test_a_loss_is_what_the_reference_gets_right_alone() -> None:
    old_N, new_N = np.ones(1000, bool), np.arange(1000) >= 20
    lost, low = losses(Promise("new", "old", lost=2.5, equal=True), old_N, new_N)
    assert lost.value == pytest.approx(2.0)
    assert lost.kept
    assert "[+1.20, +2.90], 100.00 → 98.00 %, 1,000 images" in lost.name
    assert low.value == pytest.approx(1.2, abs=0.1)
    assert not low.kept


def test_what_only_chance_lost_is_not_distinguishable_from_nothing() -> None:
    old_N, new_N = np.ones(1000, bool), np.ones(1000, bool)
    old_N[:10], new_N[8:20] = False, False
    lost, low = losses(Promise("new", "old", lost=0.3, equal=True), old_N, new_N)
    assert lost.value == pytest.approx(0.2)
    assert lost.kept
    assert low.value < 0
    assert low.kept


def test_figures_of_a_run() -> None:
    """Against the reference, each with its bound; what is not promised is not told."""
    results, predictions = read_results(finished().out), Predictions.load(finished().out)
    assert predictions is not None
    all_of_them = Promise("int8", "base", lost=100.0, equal=True, macs=0.5, speed=0.01, size=1.5)
    found = list(figures(results, predictions, (all_of_them, Promise("int8", "base", lost=-100.0))))
    assert [figure.kept for figure in found] == [True, found[1].value <= 0, True, True, True, False]
    lost, _, macs, size, speed, _ = found
    old, new = (results.variants[index_of(results, name)] for name in ("base", "int8"))
    assert lost.value == pytest.approx(100 * (old.top1.value - new.top1.value))
    assert macs.value == 1
    assert size.value == pytest.approx(old.file_bytes / new.file_bytes)
    assert speed.value == new.latency.ratio.value
