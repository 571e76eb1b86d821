"""The front is what no other variant beats."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.measure.pareto import front

# Few distinct values, so that ties and equal points are common.
POINTS = st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0, 3.0]), st.sampled_from([0.8, 0.9, 0.95])), max_size=9)


def brute_force(points: list[tuple[float, float]]) -> list[bool]:
    """By the definition: nobody is as fast and as accurate, and better in one."""
    marks = []
    for ms, top1 in points:
        beaten = False
        for other_ms, other_top1 in points:
            as_good = other_ms <= ms and other_top1 >= top1
            better = other_ms < ms or other_top1 > top1
            beaten = beaten or (as_good and better)
        marks.append(not beaten)
    return marks


@given(POINTS)
def test_the_front_is_the_definition(points: list[tuple[float, float]]) -> None:
    assert front([ms for ms, _ in points], [top1 for _, top1 in points]) == brute_force(points)


@given(POINTS.filter(bool))
def test_the_fastest_and_the_most_accurate_are_on_it(points: list[tuple[float, float]]) -> None:
    marks = front(*zip(*points, strict=True))
    fastest = min(points, key=lambda point: (point[0], -point[1]))
    best = max(points, key=lambda point: (point[1], -point[0]))
    assert marks[points.index(fastest)]
    assert marks[points.index(best)]


def test_equal_points_share_it() -> None:
    assert front([1, 1, 2], [0.9, 0.9, 0.9]) == [True, True, False]


def test_lists_of_unlike_length_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        front([1.0, 2.0], [0.9])
