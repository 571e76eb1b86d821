"""How wide each group of channels should be for a network to be fast enough and keep most of its importance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.tuners._knapsack import Option, choose
from pipeline.tuners._layers import Layer, Widths
from pipeline.tuners._table import Grid, Table

STRIDE = 0.04  # of the time, taken away at once: what a width saves depends on the other widths


@dataclass(frozen=True)
class Unit:
    """Spaces that have one width.

    Attributes:
        widths: those it may have, rising; the last is the whole. worth: what is kept with each;
            those of all units are added.
    """

    spaces: tuple[int, ...]
    widths: tuple[int, ...]
    worth: tuple[float, ...]


class Costs:
    """What a network takes on one machine, layer by layer.

    Args:
        table: has a grid for every layer.
    """

    def __init__(self, layers: Sequence[Layer], table: Table) -> None:
        self.layers = [(layer, table.grid(layer)) for layer in layers]

    def ms(self, widths: Widths) -> float:
        """All layers; spaces left out are whole."""
        return sum(_layer_ms(*one, widths) for one in self.layers)

    def changes_ms(self, widths: Widths, unit: Unit) -> list[float]:
        """What each of a unit's widths would add to the milliseconds with ``widths``."""
        touched = [one for one in self.layers if not one[0].spaces.isdisjoint(unit.spaces)]
        now = sum(_layer_ms(*one, widths) for one in touched)
        with_each = ({**widths, **dict.fromkeys(unit.spaces, width)} for width in unit.widths)
        return [sum(_layer_ms(*one, changed) for one in touched) - now for changed in with_each]


def _layer_ms(layer: Layer, grid: Grid, widths: Widths) -> float:
    inputs = 1 if layer.shape.kind == "depthwise" else layer.inputs.width(widths)
    return grid.ms(inputs, layer.outputs.width(widths))


def widths_within(units: Sequence[Unit], costs: Costs, budget_ms: float) -> dict[int, int] | None:
    """The width of every space, so that the layers take at most ``budget_ms``; None where no widths are so few.

    HALP (Shen et al., 2022): importance kept is the worth, milliseconds are the cost of a knapsack. What a width
    costs depends on the widths beside it, so time is taken away little by little, and costs are told anew after
    each step. Time that is left in the end goes to the widths that are worth most.
    """
    chosen = [len(unit.widths) - 1 for unit in units]
    while (ms := costs.ms(widths_of(units, chosen))) > budget_ms:
        smaller = _smaller(units, costs, chosen, max(budget_ms, ms * (1 - STRIDE)) - ms)
        if smaller is None or smaller == chosen:
            return None
        chosen = smaller
    while grown := _grown(units, costs, chosen, budget_ms):
        chosen = grown
    return widths_of(units, chosen)


def _smaller(units: Sequence[Unit], costs: Costs, chosen: Sequence[int], change_ms: float) -> list[int] | None:
    """Widths, none larger than those chosen, that change the time by ``change_ms`` (negative) or more."""
    widths = widths_of(units, chosen)
    options = [
        [Option(ms, worth) for ms, worth in zip(costs.changes_ms(widths, unit), unit.worth, strict=True)][: most + 1]
        for unit, most in zip(units, chosen, strict=True)
    ]
    found = choose(options, change_ms)
    return None if found is None else list(found)


def _grown(units: Sequence[Unit], costs: Costs, chosen: Sequence[int], budget_ms: float) -> list[int] | None:
    """The same with one unit at another width: of all that fit the budget, the one that gains most, or None."""
    widths = widths_of(units, chosen)
    room_ms = budget_ms - costs.ms(widths)
    gains = [
        (unit.worth[index] - unit.worth[chosen[number]], number, index)
        for number, unit in enumerate(units)
        for index, ms in enumerate(costs.changes_ms(widths, unit))
        if ms <= room_ms
    ]
    gain, number, index = max(gains, default=(0.0, 0, 0))
    return [*chosen[:number], index, *chosen[number + 1 :]] if gain > 0 else None


def widths_of(units: Sequence[Unit], chosen: Sequence[int]) -> dict[int, int]:
    """By space. chosen: an index into each unit's widths."""
    return {space: unit.widths[index] for unit, index in zip(units, chosen, strict=True) for space in unit.spaces}


def narrowest(units: Sequence[Unit]) -> Mapping[int, int]:
    return widths_of(units, [0] * len(units))
