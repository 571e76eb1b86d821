from __future__ import annotations

import pytest

from pipeline.errors import UsageError
from pipeline.report.comparison import compare
from pipeline.results import Results

from .example import around, example_results, renamed

RESULTS = example_results(6)


def with_p50(results: Results, index: int, p50_ms: float, half: float = 0.05) -> Results:
    latency = results.variants[index].latency.model_copy(update={"p50_ms": around(p50_ms, half)})
    return renamed(results, index, latency=latency)


def line_of(text: str, number: int) -> str:
    """The line of the variant ``number``, from 1."""
    return [line for line in text.splitlines() if line.startswith("|")][number + 1]


def test_a_run_does_not_differ_from_itself() -> None:
    text = compare(RESULTS, RESULTS)
    lines = [line_of(text, number) for number in range(1, 7)]
    assert all(line.count("no difference shown") == 2 and "1.00×" in line and "same" in line for line in lines)
    assert "faster" not in "".join(lines)
    assert "Only in" not in text
    assert "warning" not in text


@pytest.mark.parametrize(
    ("p50_ms", "said"), [(2.0, "2.00× faster"), (8.0, "0.50× slower"), (4.04, "0.99×, no difference shown")]
)
def test_a_difference_is_named_only_where_intervals_part(p50_ms: float, said: str) -> None:
    before, after = with_p50(RESULTS, 2, 4.0), with_p50(RESULTS, 2, p50_ms)
    line = line_of(compare(before, after), 3)
    assert said in line
    assert f"4.00 → {p50_ms:.2f}" in line


def test_accuracy_and_size_go_from_the_first_to_the_second() -> None:
    before = renamed(RESULTS, 1, top1=around(0.95, 0.01), file_bytes=6_000_000)
    after = renamed(RESULTS, 1, top1=around(0.90, 0.01), file_bytes=2_000_000)
    line = line_of(compare(before, after), 2)
    assert "95.0 → 90.0" in line
    assert "−5.0 points" in line
    assert "6.00 MB → 2.00 MB" in line


def test_variants_of_one_run_alone_are_named() -> None:
    fewer = RESULTS.model_copy(update={"variants": RESULTS.variants[:5]})
    gone = RESULTS.variants[5]
    name = f"{gone.recipe} · {gone.runtime} ({gone.format})"
    assert f"Only in the first run: {name}." in compare(RESULTS, fewer)
    assert f"Only in the second run: {name}." in compare(fewer, RESULTS)


def test_variants_match_by_format_and_runtime_too() -> None:
    other = renamed(RESULTS, 0, runtime="another")
    text = compare(RESULTS, other)
    assert "Only in the first run: float · onnxruntime (onnx)." in text
    assert "Only in the second run: float · another (onnx)." in text


def test_runs_with_nothing_in_common_say_so() -> None:
    none = RESULTS.model_copy(update={"variants": (), "reference": 0})
    assert "no variant in common" in compare(RESULTS, none)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"machine": {"cpu": "Other CPU"}}, "unlike processors"), ({"data_digest": "ffff"}, "other data")],
)
def test_unlike_runs_are_refused_unless_forced(change: dict[str, object], said: str) -> None:
    other = RESULTS.model_copy(update=change)
    with pytest.raises(UsageError, match=said) as refusal:
        compare(RESULTS, other)
    assert "--force" in refusal.value.fix
    forced = compare(RESULTS, other, force=True)
    assert [line for line in forced.splitlines() if line.startswith("warning: ") and said in line]
    assert line_of(forced, 6)


def test_both_obstacles_are_told_at_once() -> None:
    other = RESULTS.model_copy(update={"machine": {"cpu": "Other"}, "data_digest": "ffff"})
    with pytest.raises(UsageError, match=r"unlike processors .* other data"):
        compare(RESULTS, other)


def test_what_else_changed_is_noted() -> None:
    other = RESULTS.model_copy(
        update={"versions": {**RESULTS.versions, "torch": "2.12.0"}, "benchmark": {**RESULTS.benchmark, "threads": 4}}
    )
    assert "Also changed: torch 2.11.0 → 2.12.0, threads 1 → 4." in compare(RESULTS, other)
    assert "Also changed" not in compare(RESULTS, RESULTS)


def test_hostile_names_stay_in_their_cell() -> None:
    hostile = renamed(RESULTS, 0, recipe="a|b\n<script>")
    assert r"a\|b \<script\>" in line_of(compare(hostile, hostile), 1)
