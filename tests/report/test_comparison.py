from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.predictions import Predictions
from pipeline.report.comparison import compare, compared
from pipeline.results import Results

from .example import UNSTABLE, around, example_predictions, example_results, renamed

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
    assert all(line.count("no difference shown") >= 2 and "1.00×" in line and "same" in line for line in lines)
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


def drifting(results: Results, drift: float) -> Results:
    return results.model_copy(update={"conditions": results.conditions.model_copy(update={"drift": drift})})


def test_milliseconds_show_nothing_below_the_drift_but_ratios_do() -> None:
    before, after = with_p50(RESULTS, 2, 4.0), drifting(with_p50(RESULTS, 2, 5.0), 1.4)
    latency = after.variants[2].latency
    after = renamed(after, 2, latency=latency.model_copy(update={"ratio": around(latency.ratio.value / 1.25, 0.02)}))
    item = compared(before, after)[2]
    assert (item.latency, item.relative_latency) == ("no difference shown", "slower")
    assert item.relative_speed == pytest.approx(0.8)
    text = compare(before, after)
    assert "0.80×, no difference shown" in line_of(text, 3)
    assert "drifted by up to 1.40×" in text
    assert compared(before, drifting(after, 1.2))[2].latency == "slower"


def test_ratios_to_unlike_references_are_not_compared() -> None:
    other = RESULTS.model_copy(update={"reference": 1})
    assert all(item.relative_speed is None for item in compared(RESULTS, other))
    assert "own reference does not move" not in compare(RESULTS, other)


def test_the_reference_is_not_compared_with_itself() -> None:
    items = compared(RESULTS, RESULTS)
    assert items[0].relative_latency is None
    assert all(item.relative_latency == "no difference shown" for item in items[1:])


def answers(wrong: int, labels_N: np.ndarray) -> np.ndarray:
    """Right but for the first ``wrong`` images."""
    return np.where(np.arange(len(labels_N)) < wrong, (labels_N + 1) % 10, labels_N).astype(np.int32)


def with_wrong(wrong: int) -> Predictions:
    known = example_predictions(RESULTS)
    return replace(known, top1_VN=np.stack([answers(wrong, known.labels_N)] * len(RESULTS.variants)))


def test_answers_to_the_same_images_are_compared_in_pairs() -> None:
    item = compared(RESULTS, RESULTS, predictions=(with_wrong(10), with_wrong(22)))[1]
    assert item.paired is not None
    assert item.paired.difference.value == pytest.approx(-12 / 450)
    assert (item.paired.only_reference, item.paired.only_variant) == (12, 0)
    assert item.accuracy == "worse"
    text = compare(RESULTS, RESULTS, predictions=(with_wrong(10), with_wrong(22)))
    assert "−2.7 [" in line_of(text, 2)
    assert "p < 0.001" in line_of(text, 2)


def test_a_difference_of_a_few_images_is_none() -> None:
    item = compared(RESULTS, RESULTS, predictions=(with_wrong(10), with_wrong(12)))[1]
    assert item.paired is not None
    assert (item.paired.p_value, item.accuracy) == (0.5, "no difference shown")
    assert "p = 0.500, no difference shown" in compare(RESULTS, RESULTS, False, (with_wrong(10), with_wrong(12)))


def test_without_the_same_images_nothing_is_paired() -> None:
    known = with_wrong(10)
    relabelled = replace(known, labels_N=(known.labels_N + 1) % 10)
    for pair in ((known, None), (None, known), (known, relabelled)):
        assert all(item.paired is None for item in compared(RESULTS, RESULTS, predictions=pair))
    elsewhere = RESULTS.model_copy(update={"data_digest": "ffff"})
    assert all(item.paired is None for item in compared(RESULTS, elsewhere, True, (known, known)))


def test_pairs_follow_the_variants_and_not_their_places() -> None:
    known = example_predictions(RESULTS)
    turned = RESULTS.model_copy(update={"variants": RESULTS.variants[::-1], "reference": 5})
    backwards = replace(known, top1_VN=known.top1_VN[::-1])
    items = compared(RESULTS, turned, predictions=(known, backwards))
    assert [item.paired.p_value for item in items if item.paired] == [1.0] * 6


def test_the_values_are_data() -> None:
    data = compared(RESULTS, RESULTS)[2].model_dump(mode="json")
    assert data["recipe"] == RESULTS.variants[2].recipe
    assert data["p50_ms"][0] == RESULTS.variants[2].latency.p50_ms.model_dump()
    assert data["file_bytes"] == [RESULTS.variants[2].file_bytes] * 2


def test_an_unstable_run_is_told() -> None:
    text = compare(RESULTS, RESULTS.model_copy(update={"conditions": UNSTABLE}))
    assert "warning: the second run is unstable: other processes used 1.7 of 2 cores; 8 of 12" in text
