from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.results import Interval
from pipeline.tuners._aim import LANDED, TRIES, Attempt, Cut, Unreachable, approach, corrected, nearest

STEPS = 256  # widths of the one group that these networks have


def chooser(least: int = 16) -> Callable[[float], Cut]:
    """A table that believes time is proportional to width."""

    def choose(share: float) -> Cut:
        width = max(least, int(share * STEPS))
        return Cut({1: width}, width / STEPS)

    return choose


def measurer(share_of: Callable[[float], float]) -> Callable[[Cut], Interval]:
    def measure(cut: Cut) -> Interval:
        speed = 1 / share_of(cut.widths[1] / STEPS)
        return Interval(value=speed, low=speed * 0.99, high=speed * 1.01)

    return measure


@given(st.floats(0.3, 0.95), st.floats(0, 0.2), st.floats(0.6, 2))
def test_lands_where_time_is_not_what_the_table_says(target: float, fixed: float, bent: float) -> None:
    """Time that no width saves, and a curve where the table has a line."""
    attempts = approach(chooser(), measurer(lambda width: fixed + (1 - fixed) * width**bent), target)
    assert nearest(attempts, target).misses(target) <= LANDED
    assert len(attempts) <= TRIES


def test_one_try_is_enough_where_the_table_is_right() -> None:
    attempts = approach(chooser(), measurer(lambda width: width), 0.5)
    assert [attempt.cut.widths for attempt in attempts] == [{1: 128}]


def test_what_is_out_of_reach_says_what_can_be_had() -> None:
    with pytest.raises(Unreachable) as caught:
        approach(chooser(least=128), measurer(lambda width: 0.2 + 0.8 * width), 0.3)
    assert caught.value.least.share == pytest.approx(0.6)


def test_the_narrowest_may_be_faster_than_the_table_says() -> None:
    attempts = approach(chooser(least=128), measurer(lambda width: width**2), 0.3)
    assert nearest(attempts, 0.3).share == pytest.approx(0.3, rel=LANDED)


def test_stops_where_no_widths_lie_between() -> None:
    """The only group has two widths."""
    attempts = approach(lambda share: Cut({1: 256 if share >= 0.9 else 8}, 0.5), measurer(lambda width: 0.4), 0.6)
    assert len(attempts) == 1
    assert nearest(attempts, 0.6).misses(0.6) > LANDED


def attempt(estimate: float, share: float) -> Attempt:
    return Attempt(Cut({}, estimate), Interval(value=1 / share, low=1 / share, high=1 / share))


def test_the_estimate_is_corrected_between_what_was_measured() -> None:
    assert corrected([], 0.4) == pytest.approx(0.4)
    assert corrected([attempt(0.4, 0.5)], 0.4) == pytest.approx(0.28)
    assert corrected([attempt(0.4, 0.5)], 0.1) == pytest.approx(0.2)
    assert corrected([attempt(0.4, 0.5), attempt(0.2, 0.3)], 0.4) == pytest.approx(0.3)
    assert corrected([attempt(0.4, 0.3)], 0.65) == pytest.approx(0.7)
