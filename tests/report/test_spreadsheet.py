from __future__ import annotations

import csv
import io

import pytest

from pipeline.report.spreadsheet import to_csv
from pipeline.results import Results

from .example import around, example_results, renamed

RESULTS = example_results()


def table(results: Results) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(results), newline="")))


def test_a_row_a_variant_with_the_very_numbers() -> None:
    lines = table(RESULTS)
    assert [line["recipe"] for line in lines] == [variant.recipe for variant in RESULTS.variants]
    line, variant = lines[13], RESULTS.variants[13]
    assert float(line["p99_high_ms"]) == variant.latency.p99_ms.high
    assert float(line["top1"]) == variant.top1.value
    assert int(line["compressed_bytes"]) == variant.compressed_bytes
    assert float(line["top1_difference"]) == variant.versus_reference.difference.value
    assert line["note"] == variant.note


def test_every_line_has_every_cell_and_ends_as_the_standard_says() -> None:
    text = to_csv(RESULTS)
    lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert len({len(line) for line in lines}) == 1
    assert len(set(lines[0])) == len(lines[0])
    assert text.endswith("\r\n")
    assert text.count("\r\n") == len(RESULTS.variants) + 1


def test_what_was_not_measured_is_empty() -> None:
    line = next(line for line in table(RESULTS) if line["runtime"] == "eager")
    for name in ("cold_start_ms", "peak_bytes", "floor_ms", "floor_bound", "energy_mj", "speed_versus_parent_ratio"):
        assert line[name] == ""


def test_flags_are_true_or_false() -> None:
    lines = table(RESULTS)
    assert [number for number, line in enumerate(lines) if line["recommended"] == "true"] == [
        RESULTS.recommendation.variant
    ]
    assert {line["on_front"] for line in lines} == {"true", "false"}


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_text_is_never_a_formula(name: str) -> None:
    line = table(renamed(RESULTS, 1, recipe=name, note=name, parent=name, folder=name))[1]
    assert all(line[key] == f"'{name}" for key in ("recipe", "note", "parent", "folder"))


def test_negative_numbers_stay_numbers() -> None:
    latency = RESULTS.variants[1].latency.model_copy(update={"mean_ms": around(1.0, 2.0)})
    assert table(renamed(RESULTS, 1, latency=latency))[1]["mean_low_ms"] == "-1.0"


@pytest.mark.parametrize("name", ['a,"b"', "a\nb", "a\r\nb", "ü · 数"])
def test_any_text_comes_back(name: str) -> None:
    assert table(renamed(RESULTS, 1, recipe=name))[1]["recipe"] == name
