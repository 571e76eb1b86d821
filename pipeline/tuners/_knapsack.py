"""One option of every group, so that they cost little enough and are worth most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEPS = 20_000  # the finest budget, as a fraction of what all groups could cost


class Option(NamedTuple):
    """One way to have a group. cost: in any unit, of any sign. worth: in any other."""

    cost: float
    worth: float


def choose(groups: Sequence[Sequence[Option]], budget: float, step: float | None = None) -> tuple[int, ...] | None:
    """Which option of each group: worth most of all choices that cost at most ``budget`` together.

    The multiple-choice knapsack problem by dynamic programming over budgets (Dudziński and Walukiewicz,
    1987). Costs are rounded up to whole steps: a choice always fits, and is the best where they are whole
    already. The steps do not depend on the budget, so more of it is never worth less.

    Args:
        step: of the budget, in units of cost; the range of all costs / ``STEPS`` unless given.

    Returns:
        an index for each group; None where even the cheapest options cost more.

    >>> choose([[Option(1, 1), Option(3, 5)], [Option(0, 0), Option(2, 3)]], 4, step=1)
    (1, 0)
    """
    import numpy as np

    least = [min(option.cost for option in options) for options in groups]
    spread = sum(max(option.cost for option in options) for options in groups) - sum(least)
    step = step or spread / STEPS or 1.0
    room = int(np.floor(min(budget - sum(least), spread + step * len(groups)) / step + 1e-9))
    if room < 0:
        return None
    costs = [
        [int(np.ceil((option.cost - cheapest) / step - 1e-9)) for option in options]
        for options, cheapest in zip(groups, least, strict=True)
    ]
    worths = [[option.worth for option in options] for options in groups]
    return _traced(_tables(costs, worths, room), costs, room)


def _tables(costs: list[list[int]], worths: list[list[float]], room: int) -> list[NDArray[np.intp]]:
    """For each group, and every budget in steps, the option that is best with all groups before it."""
    import numpy as np

    best_B, tables = np.zeros(room + 1), []
    for group_costs, group_worths in zip(costs, worths, strict=True):
        reached_OB = np.full((len(group_costs), room + 1), -np.inf)
        for row_B, cost, worth in zip(reached_OB, group_costs, group_worths, strict=True):
            if cost <= room:
                row_B[cost:] = best_B[: room + 1 - cost] + worth
        tables.append(reached_OB.argmax(axis=0))
        best_B = reached_OB.max(axis=0)
    return tables


def _traced(tables: list[NDArray[np.intp]], costs: list[list[int]], room: int) -> tuple[int, ...]:
    """The choices that led to the best with all the budget, from the last group back."""
    chosen: list[int] = []
    for table_B, group_costs in zip(reversed(tables), reversed(costs), strict=True):
        chosen.append(int(table_B[room]))
        room -= group_costs[chosen[-1]]
    return tuple(reversed(chosen))
