from __future__ import annotations

import doctest

import pytest

from pipeline.report import words
from pipeline.results import Interval


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(words)
    assert found.attempted >= 13
    assert found.failed == 0


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\u2028b", "a\x1b b", "a\u202eb", "a\x00b", " a \t b "])
def test_plain_leaves_one_printable_line(text: str) -> None:
    assert words.plain(text) == "a b"


@pytest.mark.parametrize(("value", "text"), [(0.0, "0"), (0.00123, "0.00123"), (9.996, "10.00"), (-1.5, "−1.50")])
def test_significant_never_uses_an_exponent(value: float, text: str) -> None:
    assert words.significant(value) == text


def test_percent_is_as_fine_as_the_images_allow() -> None:
    assert words.percent(0.97222, 999) == "97.2"
    assert words.percent(0.97222, 1000) == "97.22"
    assert words.percent(-0.0001, 100, sign=True) == "0.0"


@pytest.mark.parametrize(("low", "expected"), [(1.9, True), (2.0, True), (2.1, False)])
def test_overlap_counts_touching_ends(low: float, expected: bool) -> None:
    one, other = Interval(value=1.5, low=1, high=2), Interval(value=3, low=low, high=4)
    assert words.overlap(one, other) is words.overlap(other, one) is expected


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (1000, "1.00 k"), (10**12, "1.00 T")])
def test_count_changes_its_prefix_at_a_thousand(number: int, text: str) -> None:
    assert words.count(number) == text


def test_value_reaches_into_nested_data() -> None:
    assert words.value({"load": [0.1, {"a": True}], "name": "x\ny"}) == "load 0.1 a yes, name x y"
