from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tuners._layers import Axis, Layer, LayerShape
from pipeline.tuners._table import Table, axes_of
from pipeline.tuners._widths import Costs, Unit, narrowest, widths_of, widths_within

STEP = 8


def chain(sizes: list[int]) -> list[Layer]:
    """Layers one after the other, each of a shape of its own; the image and the logits do not change."""
    axes = [Axis(3), *(Axis(0, ((space, size, size),)) for space, size in enumerate(sizes, 1)), Axis(10)]
    shapes = [LayerShape(kind="convolution", size=(64 >> index, 8)) for index in range(len(axes) - 1)]
    return [Layer(f"layer{index}", shape, *axes[index : index + 2]) for index, shape in enumerate(shapes)]


def costs_of(layers: list[Layer], fixed: float = 0.01) -> Costs:
    """As kernels are: some time for the call, the rest for the products."""
    ms = {
        layer.shape: {
            point: fixed + 1e-5 * layer.shape.size[0] * point[0] * point[1] for point in axes_of(layer, STEP).points()
        }
        for layer in layers
    }
    return Costs(layers, Table(ms, STEP))


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[Unit], Costs]:
    sizes = draw(st.lists(st.sampled_from([8, 16, 24, 32]), min_size=1, max_size=4))
    units = []
    for space, size in enumerate(sizes, 1):
        widths = tuple(range(STEP, size + 1, STEP))
        scores = draw(st.lists(st.floats(0.01, 5), min_size=len(widths), max_size=len(widths)))
        units.append(Unit((space,), widths, tuple(itertools.accumulate(sorted(scores, reverse=True)))))
    return units, costs_of(chain(sizes))


def kept(units: list[Unit], widths: dict[int, int]) -> float:
    return sum(unit.worth[unit.widths.index(widths[unit.spaces[0]])] for unit in units)


def everything(units: list[Unit]) -> list[dict[int, int]]:
    return [widths_of(units, chosen) for chosen in itertools.product(*(range(len(unit.widths)) for unit in units))]


@given(networks(), st.floats(0.05, 1))
def test_what_is_chosen_fits_the_budget(network: tuple[list[Unit], Costs], share: float) -> None:
    units, costs = network
    budget_ms = share * costs.ms({})
    widths = widths_within(units, costs, budget_ms)
    if widths is None:
        assert costs.ms(narrowest(units)) > budget_ms
    else:
        assert costs.ms(widths) <= budget_ms


@given(networks(), st.floats(0.2, 0.95))
def test_little_better_could_be_had(network: tuple[list[Unit], Costs], share: float) -> None:
    """Widths that only ever shrink need not be the best of all, but are never far from them."""
    units, costs = network
    budget_ms = share * costs.ms({})
    widths = widths_within(units, costs, budget_ms)
    best = max((kept(units, one) for one in everything(units) if costs.ms(one) <= budget_ms), default=None)
    assert (widths is None) == (best is None)
    if widths is not None and best is not None:
        assert kept(units, widths) >= 0.75 * best


@given(networks())
def test_with_all_its_time_a_network_stays_whole(network: tuple[list[Unit], Costs]) -> None:
    units, costs = network
    assert widths_within(units, costs, costs.ms({})) == widths_of(units, [len(unit.widths) - 1 for unit in units])


def test_a_single_group_gets_the_widest_that_fits() -> None:
    units, costs = [Unit((1,), (8, 16, 24, 32), (4.0, 7.0, 9.0, 10.0))], costs_of(chain([32]))
    for width in (8, 16, 24, 32):
        assert widths_within(units, costs, costs.ms({1: width})) == {1: width}
        assert widths_within(units, costs, costs.ms({1: width}) * 0.999) in (None, {1: width - 8})


def test_what_costs_most_for_its_worth_goes_first() -> None:
    """Two groups of equal importance; the one with more pixels is the dear one."""
    units = [Unit((space,), (8, 16, 24, 32), (4.0, 7.0, 9.0, 10.0)) for space in (1, 2)]
    shapes = [LayerShape(kind="convolution", size=(size, 8)) for size in (64, 8)]
    layers = [Layer(str(space), shapes[space - 1], Axis(3), Axis(0, ((space, 32, 32),))) for space in (1, 2)]
    costs = costs_of(layers)
    widths = widths_within(units, costs, 0.7 * costs.ms({}))
    assert widths is not None
    assert widths[1] < widths[2] == 32


def test_spaces_that_have_one_width_shrink_together() -> None:
    units = [Unit((1, 2), (8, 16, 24, 32), (4.0, 7.0, 9.0, 10.0))]
    widths = widths_within(units, costs := costs_of(chain([32, 32])), 0.5 * costs.ms({}))
    assert widths is not None
    assert widths[1] == widths[2] < 32


def test_nothing_is_narrow_enough() -> None:
    units, costs = [Unit((1,), (8, 16), (1.0, 2.0))], costs_of(chain([16]), fixed=1.0)
    assert widths_within(units, costs, 1.0) is None
    with pytest.raises(KeyError):
        costs_of(chain([16])).layers[0][1].ms_IO[0][0] and Table({}, STEP).grid(chain([16])[0])
