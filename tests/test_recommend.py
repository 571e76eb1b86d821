"""What to ship: within the budget, shown to be faster or smaller, and said in a sentence."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measured import Case, concluded, measured

from pipeline.conclude import conclude
from pipeline.recommend import over_budget
from pipeline.results import Results
from pipeline.spec import Budget


def shipped(results: Results) -> str | None:
    chosen = results.recommendation.variant
    return None if chosen is None else results.variants[chosen].recipe


def test_the_fastest_within_the_budget_is_shipped(tmp_path: Path) -> None:
    cases = Case("base", ms=3), Case("quick", 189, ms=2), Case("quicker", 150, ms=1), Case("slow", ms=9)
    results = concluded(tmp_path, *cases, max_drop=0.01)
    assert shipped(results) == "quick"
    assert [variant.within_budget for variant in results.variants] == [True, True, False, True]


def test_the_budget_is_judged_on_validation_and_never_on_test(tmp_path: Path) -> None:
    lucky = Case("lucky on test", validation=150, test=200, ms=1)
    honest = Case("honest", validation=190, test=120, ms=2)
    cases = Case("base", 190, 190, ms=3), replace(lucky, recipe="lucky"), honest
    results = concluded(tmp_path, *cases, max_drop=0.01)
    assert shipped(results) == "honest"
    assert [variant.within_budget for variant in results.variants] == [True, False, True]
    assert [variant.validation_top1 for variant in results.variants] == [0.95, 0.75, 0.95]
    assert [variant.correct for variant in results.variants] == [190, 200, 120]
    other = concluded(tmp_path / "2", *(replace(case, test=100) for case in cases), max_drop=0.01)
    assert shipped(other) == "honest"


@pytest.mark.parametrize(("drop", "expected"), [(0.0499, "base"), (0.05, "quick"), (1.0, "quick")])
def test_a_drop_of_exactly_the_budget_is_allowed(drop: float, expected: str, tmp_path: Path) -> None:
    results = concluded(tmp_path, Case("base", 190, ms=3), Case("quick", 180, ms=1), max_drop=drop)
    assert shipped(results) == expected


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        ({"max_latency_ms": 2.5}, "quick"),
        ({"max_bytes": 700}, "small"),
        ({"max_latency_ms": 9.0, "max_bytes": 1500}, "small"),
        ({}, "quick"),
    ],
)
def test_budgets_of_latency_and_size(budget: dict[str, Any], expected: str, tmp_path: Path) -> None:
    cases = Case("base", ms=5, size=2000), Case("quick", ms=2, size=2000), Case("small", ms=3, size=700)
    assert shipped(concluded(tmp_path, *cases, **budget)) == expected


def test_nothing_fits(tmp_path: Path) -> None:
    results = concluded(tmp_path, Case("base", ms=5), max_drop=0.02, max_latency_ms=0.5, max_bytes=2_000_000)
    assert shipped(results) is None
    p50_ms = results.variants[0].latency.p50_ms.value
    assert results.recommendation.sentence == (
        "Nothing fits the budget "
        "(at most 2 points of top-1 lost on validation images, 0.5 ms, 2,000,000 bytes): "
        f"base · onnxruntime, the most accurate, takes {p50_ms:.2f} ms, 0.5 allowed; ship none."
    )


def test_of_two_that_are_equally_fast_the_smaller_is_shipped(tmp_path: Path) -> None:
    cases = Case("base", ms=2, size=900), Case("twin", ms=1, size=800), Case("small", ms=1, size=700)
    assert shipped(concluded(tmp_path, *cases, noise=0.0)) == "small"


def test_compression_that_does_not_pay_is_noted_and_not_shipped(tmp_path: Path) -> None:
    results = concluded(tmp_path, Case("base", ms=1), Case("again", ms=0.9999, parent="base"), noise=0.05)
    base, again = results.variants
    assert again.versus_parent is not None
    assert again.versus_parent.low <= 1 <= again.versus_parent.high
    assert again.note == f"not shown to be faster than base here ({again.versus_parent.value:.2f}×)"
    assert base.note == ""
    assert shipped(results) == "base"


def test_a_file_that_only_packs_better_is_noted(tmp_path: Path) -> None:
    cases = Case("base", ms=1, size=1000), Case("zeros", ms=1, size=1000, packed=200, parent="base")
    results = concluded(tmp_path, *cases, noise=0.02)
    assert results.variants[1].note.endswith(
        "zeros let the file pack to 200 B (500 B before); they are stored and multiplied like any number"
    )
    assert shipped(results) == "base"


def test_even_if_chance_makes_it_look_faster(tmp_path: Path) -> None:
    ms_SRVC = np.random.default_rng(7).lognormal(0, 0.3, (6, 5, 2, 3))
    medians_V = np.median(ms_SRVC, axis=(0, 1, 3))
    ms_SRVC = ms_SRVC if medians_V[1] < medians_V[0] else ms_SRVC[:, :, ::-1]
    results = conclude(measured(tmp_path, ms_SRVC, Case("base"), Case("again", parent="base")), ())
    assert results.variants[1].latency.p50_ms.value < results.variants[0].latency.p50_ms.value
    assert results.variants[1].note.startswith("not shown to be faster than base here")
    assert shipped(results) == "base"


def test_smaller_pays_too(tmp_path: Path) -> None:
    results = concluded(tmp_path, Case("base", ms=1), Case("int8", ms=0.999, size=300, parent="base"), noise=0.0)
    assert shipped(results) == "int8"


def test_a_child_of_one_that_is_not_allowed_may_be_shipped(tmp_path: Path) -> None:
    cases = Case("base", 190, ms=9), Case("weak", 100, ms=1), Case("taught", 190, ms=1, parent="weak")
    results = concluded(tmp_path, *cases, noise=0.0)
    assert results.variants[2].note
    assert shipped(results) == "taught"


def test_slower_than_its_parent_says_so(tmp_path: Path) -> None:
    cases = Case("base", ms=9), Case("small", ms=1), Case("int8", ms=2, size=10, parent="small")
    results = concluded(tmp_path, *cases)
    assert re.fullmatch(r"slower than small here \(0\.(49|50|51)×\)", results.variants[2].note)
    assert results.variants[2].latency.verdict == "faster"  # than the reference
    assert shipped(results) == "small"


def test_the_sentence_tells_the_numbers_of_the_data(tmp_path: Path) -> None:
    cases = Case("base", test=190, ms=4, size=4000), Case("int8", 189, 186, ms=2, size=1000, parent="base")
    results = concluded(tmp_path, *cases, max_drop=0.015)
    ratio, gap = results.variants[1].latency.ratio, results.variants[1].versus_reference.difference
    p50_ms = results.variants[1].latency.p50_ms.value
    assert results.recommendation.sentence == (
        "Ship int8 as onnx on onnxruntime: the smallest latency within the budget of 1.5 points of top-1, "
        f"{p50_ms:.2f} ms an image, {ratio.value:.1f}× [{ratio.low:.1f}, {ratio.high:.1f}] the speed of "
        "base · onnxruntime and 4.0× smaller; top-1 93.0% against 95.0%, a paired difference of −2.0 points "
        f"[−{abs(100 * gap.low):.1f}, −{abs(100 * gap.high):.1f}], more than the budget, which validation images judge."
    )


def test_a_larger_file_is_not_called_smaller(tmp_path: Path) -> None:
    results = concluded(tmp_path, Case("base", ms=4, size=1000), Case("quick", ms=1, size=2500))
    assert "2.5× larger;" in results.recommendation.sentence
    assert "smaller" not in results.recommendation.sentence


def test_the_sentence_for_the_reference_itself(tmp_path: Path) -> None:
    sentence = concluded(tmp_path, Case("base"), max_drop=0.02).recommendation.sentence
    assert sentence == (
        "Ship base as onnx on onnxruntime: it is the reference, and nothing within the budget of 2 points of top-1 "
        "is shown to be faster; 1.00 ms an image."
    )


@pytest.mark.parametrize(
    ("drop", "ms", "size", "fits"),
    [(0.1, 2.0, 10, True), (0.11, 2.0, 10, False), (0.1, 2.1, 10, False), (0.1, 2.0, 11, False), (-0.5, 0.1, 1, True)],
)
def test_each_limit_counts(drop: float, ms: float, size: int, fits: bool) -> None:
    overruns = over_budget(Budget(max_drop=0.1, max_latency_ms=2.0, max_bytes=10), drop, ms, size)
    assert len(overruns) == (0 if fits else 1)
    assert bool(over_budget(Budget(max_drop=0.1), drop, 1e9, 10**12)) == (drop > 0.1)
