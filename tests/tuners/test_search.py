"""The search over measurements that a test made up: it ends, holds the budget, and wastes nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.results import Interval
from pipeline.tuners._search import Floats, Trial, cheapest, grown, points, shrunk, worth

LAYERS = tuple("abcdef")


class World:
    """Every layer in int8 loses some top-1, and in float takes some time.

    Attributes:
        measured: what was asked, set by set.
    """

    def __init__(self, harm: dict[str, float], cost_ms: dict[str, float], doubt_ms: float = 0.0) -> None:
        self.harm, self.cost_ms, self.doubt_ms = harm, cost_ms, doubt_ms
        self.measured: list[tuple[Floats, ...]] = []

    def trial(self, floats: Floats) -> Trial:
        loss = sum(harm for name, harm in self.harm.items() if name not in floats)
        ms = 1 + sum(self.cost_ms[name] for name in floats)
        return Trial(floats=floats, loss=exactly(loss), agreement=1 - loss, ms=ms, doubt_ms=self.doubt_ms)

    def measure(self, choices: Sequence[Floats]) -> list[Trial]:
        self.measured.append(tuple(choices))
        return [self.trial(floats) for floats in choices]

    def propose(self, floats: Floats) -> list[Floats]:
        return [ordered({*floats, name}) for name in LAYERS if name not in floats]


def exactly(value: float) -> Interval:
    return Interval(value=value, low=value, high=value)


def ordered(names: set[str]) -> Floats:
    return tuple(name for name in LAYERS if name in names)


def within(budget: float):  # type: ignore[no-untyped-def]
    return lambda loss: loss.value <= budget + 1e-12


WORLDS = st.builds(
    World,
    st.fixed_dictionaries({name: st.sampled_from([0.0, 0.01, 0.02, 0.05]) for name in LAYERS}),
    st.fixed_dictionaries({name: st.sampled_from([0.01, 0.1, 0.3]) for name in LAYERS}),
)


@given(world=WORLDS, budget=st.sampled_from([0.0, 0.01, 0.04, 0.08]))
def test_it_holds_the_budget_with_no_layer_to_spare(world: World, budget: float) -> None:
    holds = within(budget)
    more = grown((), world.propose, world.measure, holds)
    reached = more[-1].after.floats
    fewer = shrunk(reached, (), world.measure, holds)
    floats = fewer[-1].after.floats if fewer else reached
    assert holds(world.trial(floats).loss)
    if len(floats) > 1:
        assert not any(holds(world.trial(ordered(set(floats) - {name})).loss) for name in floats)
    for step, then in zip((*more, *fewer), (*more, *fewer)[1:], strict=False):
        assert step.after == then.before


@given(world=WORLDS)
def test_the_same_measurements_give_the_same_layers(world: World) -> None:
    one, other = (grown((), world.propose, world.measure, within(0.02)) for _ in range(2))
    assert one == other
    half = len(world.measured) // 2
    assert world.measured[:half] == world.measured[half:]


def test_what_is_gained_a_millisecond_decides() -> None:
    harm = {"a": 0.05, "b": 0.04, "c": 0.01, "d": 0.0, "e": 0.0, "f": 0.0}
    world = World(harm, {"a": 0.5, "b": 0.1, "c": 0.1, "d": 0.1, "e": 0.1, "f": 0.1})
    first, second = grown((), world.propose, world.measure, within(0.02))
    assert first.layers == ("b",)
    assert (first.gained, first.lost_ms) == (pytest.approx(0.04), pytest.approx(0.1))
    assert second.layers == ("a",)
    assert second.after.floats == ("a", "b")
    # Everything that is compared was timed together.
    assert all(choices[0] == start for choices, start in zip(world.measured, ((), ("b",)), strict=True))


def test_of_those_that_hold_it_the_fastest_is_taken() -> None:
    world = World(dict.fromkeys(LAYERS, 0.0) | {"a": 0.05, "b": 0.05}, dict.fromkeys(LAYERS, 0.1) | {"a": 0.9})
    [step] = grown((), world.propose, world.measure, within(0.05))
    assert step.layers == ("b",)


def test_layers_are_a_set_and_not_a_sum() -> None:
    """Neighbours that are cheap only together are found if they are proposed together."""
    pairs = {("a", "b"): 0.0, ("a",): 0.06, ("b",): 0.06, (): 0.06}
    times = {("a", "b"): 1.1, ("a",): 1.5, ("b",): 1.5, (): 1.0}

    def measure(choices: Sequence[Floats]) -> list[Trial]:
        return [Trial(floats=one, loss=exactly(pairs[one]), agreement=0.5, ms=times[one]) for one in choices]

    [step] = grown((), lambda _: [("a",), ("b",), ("a", "b")], measure, within(0.01))
    assert step.after.floats == ("a", "b")
    assert shrunk(("a", "b"), (), measure, within(0.01)) == ()


def test_nothing_to_propose_ends_it() -> None:
    world = World(dict.fromkeys(LAYERS, 0.1), dict.fromkeys(LAYERS, 0.1))
    assert grown((), lambda _: [], world.measure, within(0.0)) == ()
    steps = grown((), lambda floats: [] if len(floats) == 2 else world.propose(floats), world.measure, within(0.0))
    assert len(steps) == 2
    assert not within(0.0)(steps[-1].after.loss)


def test_layers_that_are_not_needed_become_int8_again_unless_they_were_asked_for() -> None:
    world = World(dict.fromkeys(LAYERS, 0.0) | {"b": 0.05}, dict.fromkeys(LAYERS, 0.1))
    steps = shrunk(("a", "b", "c"), (), world.measure, within(0.01))
    assert steps[-1].after.floats == ("b",)
    assert [step.layers for step in steps] == [("c",), ("a",)]
    assert shrunk(("a", "b", "c"), ("a",), world.measure, within(0.01))[-1].after.floats == ("a", "b")
    assert shrunk(("a", "b"), ("a",), world.measure, within(0.01)) == ()


def test_an_island_that_is_slower_in_parts_stays_whole() -> None:
    def measure(choices: Sequence[Floats]) -> list[Trial]:
        return [Trial(floats=one, loss=exactly(0.0), agreement=1, ms=1.0 if len(one) == 3 else 1.2) for one in choices]

    assert shrunk(("a", "b", "c"), (), measure, within(0.01)) == ()


def trial(loss: float, ms: float, agreement: float = 0.9, floats: Floats = ("a",), doubt_ms: float = 0.0) -> Trial:
    return Trial(floats=floats, loss=exactly(loss), agreement=agreement, ms=ms, doubt_ms=doubt_ms)


def test_worth() -> None:
    now = trial(0.04, 1.0, floats=())
    assert worth(now, trial(0.02, 1.1)) > worth(now, trial(0.01, 1.3))
    assert worth(now, trial(0.03, 1.1)) > worth(now, trial(0.05, 1.0))
    # Less than its doubt is no time: what seems to cost nothing is not worth everything.
    assert worth(now, trial(0.03, 0.9, doubt_ms=0.1))[0] == pytest.approx(0.01 / 0.1)
    # Where no image was gained, agreement tells.
    assert worth(now, trial(0.04, 1.1, 0.95)) > worth(now, trial(0.04, 1.1, 0.91))
    # A loss is not better for having taken long.
    assert worth(now, trial(0.05, 9.0)) == worth(now, trial(0.05, 1.1))


def test_the_cheapest_has_fewest_layers_where_time_cannot_tell() -> None:
    wide = trial(0, 1.00, floats=("a", "b"))
    assert cheapest([wide, trial(0, 1.02, floats=("c",), doubt_ms=0.05)]).floats == ("c",)
    assert cheapest([wide, trial(0, 1.20, floats=("c",), doubt_ms=0.05)]).floats == ("a", "b")


def test_a_gain_is_a_negative_loss() -> None:
    assert points(Interval(value=-0.0077, low=-0.02, high=0.0)) == "−0.77 points of top-1 [−2.00, 0.00]"
