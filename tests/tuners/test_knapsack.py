from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tuners._knapsack import Option, choose

WHOLE = st.builds(Option, st.integers(-9, 9).map(float), st.integers(0, 50).map(float))
GROUPS = st.lists(st.lists(WHOLE, min_size=1, max_size=4), min_size=1, max_size=5)


def total(groups: Sequence[Sequence[Option]], chosen: Sequence[int]) -> Option:
    options = [options[index] for options, index in zip(groups, chosen, strict=True)]
    return Option(sum(option.cost for option in options), sum(option.worth for option in options))


def by_force(groups: Sequence[Sequence[Option]], budget: float) -> float | None:
    every = (total(groups, chosen) for chosen in itertools.product(*(range(len(options)) for options in groups)))
    return max((option.worth for option in every if option.cost <= budget), default=None)


@given(GROUPS, st.integers(-60, 60))
def test_the_best_of_all_that_fit(groups: list[list[Option]], budget: int) -> None:
    chosen, best = choose(groups, budget, step=1), by_force(groups, budget)
    assert (chosen is None) == (best is None)
    if chosen is not None:
        assert total(groups, chosen).cost <= budget
        assert total(groups, chosen).worth == best


ANY = st.builds(Option, st.floats(-5, 5), st.floats(0, 10))


@given(st.lists(st.lists(ANY, min_size=1, max_size=6), min_size=1, max_size=12), st.floats(-60, 60), st.floats(0, 20))
def test_it_fits_and_more_budget_is_never_worth_less(groups: list[list[Option]], budget: float, more: float) -> None:
    little, much = choose(groups, budget), choose(groups, budget + more)
    if little is None:
        return
    assert much is not None
    assert total(groups, little).cost <= budget + 1e-9
    assert total(groups, much).worth >= total(groups, little).worth - 1e-9


def test_nothing_fits() -> None:
    assert choose([[Option(2, 1)], [Option(1, 1), Option(3, 9)]], 2.9) is None


def test_with_all_the_budget_there_is_each_group_has_its_best() -> None:
    groups = [[Option(1, 2), Option(7, 3)], [Option(0, 0), Option(-1, 4)]]
    assert choose(groups, 1e9) == (1, 1)


def test_options_of_equal_cost_need_no_step() -> None:
    assert choose([[Option(0, 1), Option(0, 2)]], 0) == (1,)


@pytest.mark.parametrize("budget", [0.0, 0.25, 0.5, 1.0])
def test_rounding_costs_up_loses_little(budget: float) -> None:
    """With twenty thousand steps a choice among fifty groups is as good as the relaxed problem's, but for a hair."""
    groups = [[Option(0, 0), Option(0.02, 1 + index / 50)] for index in range(50)]
    chosen = choose(groups, budget)
    assert chosen is not None
    assert sum(chosen) >= int(budget / 0.02 * 0.995)
