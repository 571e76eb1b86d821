from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from pipeline.report.tables import console_table, escaped, markdown, markdown_table, rows
from pipeline.results import Difference, Interval, Recommendation, Results

from .example import FAILURES, UNSTABLE, around, example_results, renamed

RESULTS = example_results()
CHOSEN = RESULTS.recommendation.variant


def cells(line: str) -> list[str]:
    """The cells of a GitHub table's line: only pipes without a backslash divide."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def table_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def printed(results: Results, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(console_table(results))
    return capture.get()


def test_a_row_shows_its_variant() -> None:
    row, variant = rows(RESULTS)[13], RESULTS.variants[13]
    assert (row.number, row.name, row.runtime, row.precision) == (14, variant.recipe, variant.runtime, "int8")
    assert row.top1.value == f"{100 * variant.top1.value:.1f}"
    assert row.p50.value == f"{variant.latency.p50_ms.value:.2f}"
    assert row.size == "1.65 MB"
    assert row.remark == variant.note != ""


def test_flags_follow_the_results() -> None:
    table = rows(RESULTS)
    assert [row.number - 1 for row in table if row.recommended] == [CHOSEN]
    assert [row.number - 1 for row in table if row.reference] == [RESULTS.reference]
    assert [row.on_front for row in table] == [variant.on_front for variant in RESULTS.variants]
    over = rows(renamed(RESULTS, 3, within_budget=False))[3]
    assert "over budget" in over.notes
    assert "over budget" not in table[3].notes


def test_a_loss_has_a_minus_sign_and_points() -> None:
    loss = Difference(
        difference=Interval(value=-0.012, low=-0.02, high=0.001), p_value=0.0002, only_reference=12, only_variant=3
    )
    row = rows(renamed(RESULTS, 2, versus_reference=loss))[2]
    assert str(row.difference) == "−1.2 [−2.0, +0.1]"
    assert row.p_value == "p < 0.001"


def test_the_reference_is_not_compared_with_itself() -> None:
    row = rows(RESULTS)[RESULTS.reference]
    assert row.difference.interval == row.speed.interval == row.p_value == ""
    assert row.verdict == "reference"


def test_markdown_has_every_variant_in_as_many_cells_as_headers() -> None:
    header, _, *body = [cells(line) for line in table_lines(markdown(RESULTS))]
    assert len(body) == len(RESULTS.variants)
    assert {len(line) for line in body} == {len(header)} == {11}
    assert all(variant.recipe in line[1] for line, variant in zip(body, RESULTS.variants, strict=True))


def test_markdown_marks_the_recommended_row_alone() -> None:
    bold = [line for line in table_lines(markdown(RESULTS)) if "**" in line]
    assert len(bold) == 1
    assert "recommended" in bold[0]
    nothing = RESULTS.model_copy(update={"recommendation": Recommendation(variant=None, sentence="Nothing fits.")})
    assert "recommended" not in markdown(nothing)


def test_markdown_says_the_verdict_and_the_remark() -> None:
    text = markdown(RESULTS)
    verdicts = {variant.latency.verdict for variant in RESULTS.variants}
    assert {"faster", "slower", "no difference shown"} <= verdicts
    assert all(verdict in text for verdict in verdicts)
    assert "No. 14: 14 of 52 convolutions" in text


def test_markdown_tells_what_to_know_of_the_data() -> None:
    warned = RESULTS.model_copy(update={"warnings": ("3 images of test are in train|too",)})
    assert "\nNote: 3 images of test are in train\\|too\n" in markdown(warned)
    assert "Note:" not in markdown(RESULTS)


@pytest.mark.parametrize("name", ["a|b", "a\nb|", "a\\|b", "\\", "|||", "a\r\n| --- |\n"])
def test_hostile_names_stay_in_their_cell(name: str) -> None:
    hostile = renamed(RESULTS, 1, recipe=name, runtime=name, format=name)
    lines = table_lines(markdown(hostile))
    assert len(lines) == len(RESULTS.variants) + 2
    pairs_removed = [re.sub(r"\\.", "", line) for line in lines]
    assert {line.count("|") for line in pairs_removed} == {12}


def test_names_are_not_markup() -> None:
    assert escaped("<img> **x** [y](z) `k` a_b _i_ &amp;") == (r"\<img\> \*\*x\*\* \[y\](z) \`k\` a_b \_i\_ \&amp;")


def test_columns_line_up() -> None:
    lines = markdown_table(("a", "long header"), [("wide cell", "1"), ("b", "22")], left=("a",)).splitlines()
    assert lines == [
        "| a         | long header |",
        "| :-------- | ----------: |",
        "| wide cell |           1 |",
        "| b         |          22 |",
    ]


@pytest.mark.parametrize("width", [100, 120])
def test_the_console_table_fits_the_terminal_and_cuts_no_number(width: int) -> None:
    lines = printed(RESULTS, width).splitlines()
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for row in rows(RESULTS):
        assert row.p50.interval in text
        assert row.top1.interval in text
        assert row.size in text
        assert row.verdict in text
    assert "…" not in text


def test_the_console_table_takes_names_as_text() -> None:
    text = printed(renamed(RESULTS, 1, recipe="[red]x[/red]", runtime="a\x1b[2Jb"), 120)
    assert "[red]x[/red]" in text
    assert "\x1b" not in text


def test_a_long_name_wraps_instead_of_widening() -> None:
    text = printed(renamed(RESULTS, 1, recipe="n" * 90), 100)
    assert max(map(len, text.splitlines())) <= 100
    assert text.count("n" * 10) >= 3


def test_small_ratios_keep_their_digits() -> None:
    slow = RESULTS.variants[1].latency.model_copy(update={"ratio": around(0.0123, 0.0004), "verdict": "slower"})
    assert rows(renamed(RESULTS, 1, latency=slow))[1].speed.value == "0.0123×"


def test_markdown_begins_with_what_makes_it_unreliable() -> None:
    text = markdown(RESULTS.model_copy(update={"conditions": UNSTABLE, "failures": FAILURES}))
    assert text.startswith("**Unstable: do not rely on these latencies.** other processes used 1.7 of 2 cores; 8 of 12")
    assert "\nNot measured: int8-aware · openvino (pt2): parity: 61 % of the answers are the same\n" in text
    assert markdown(RESULTS).startswith("| No. |")


def test_tails_have_intervals_too() -> None:
    row, latency = rows(RESULTS)[1], RESULTS.variants[1].latency
    assert row.p90.value == f"{latency.p90_ms.value:.2f}"
    assert row.p99.interval == f"[{latency.p99_ms.low:.2f}, {latency.p99_ms.high:.2f}]"
