"""How many channels stay: of every group the same share, or wherever they are worth most."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import family

from pipeline.errors import StageFailed
from pipeline.model import Model
from pipeline.pruners.cut import Cut
from pipeline.pruners.groups import Groups, find_groups
from pipeline.pruners.ranking import choose, kept_width, ranked, step, topology


@pytest.fixture(scope="module")
def groups(untrained: Model) -> Groups:
    return find_groups(family("resnet18", untrained).module, untrained.spec.shape)


def even(groups: Groups, low: int = 0) -> dict[int, torch.Tensor]:
    """The same scores in every space, but lower ones in one."""
    return {s: torch.linspace(1, 2, size) * (0.1 if s == low else 1) for s, size in groups.sizes.items()}


@given(channels=st.integers(1, 600), ratio=st.floats(0.001, 0.999), round_to=st.sampled_from([1, 4, 8, 16]))
def test_kept_width(channels: int, ratio: float, round_to: int) -> None:
    width = kept_width(channels, ratio, round_to)
    assert 1 <= width <= channels
    assert width % round_to == 0 or width == channels
    assert width == channels or abs(width - channels * (1 - ratio)) <= max(round_to / 2, round_to - 1e-9)


def test_local_takes_the_same_share_of_every_group(groups: Groups) -> None:
    widths = ranked(groups, even(groups, low=2), Cut(ratio=0.5, round_to=1), groups.sizes)
    assert widths == {space: size // 2 for space, size in groups.sizes.items()}


@given(ratio=st.floats(0.1, 0.9), round_to=st.sampled_from([1, 2, 8]), seed=st.integers(0, 9))
def test_global_leaves_the_share_of_all_channels(ratio: float, round_to: int, seed: int, groups: Groups) -> None:
    random = torch.Generator().manual_seed(seed)
    scored = {space: torch.rand(size, generator=random) for space, size in groups.sizes.items()}
    cut = Cut(ratio=ratio, round_to=round_to, ranking="global")
    widths = ranked(groups, scored, cut, groups.sizes)
    left = sum(widths.get(space, size) for space, size in groups.sizes.items())
    least = sum(min(round_to, size) for size in groups.sizes.values())
    allowed = (1 - ratio) * sum(groups.sizes.values())
    # One more step of the threshold moves every group by one multiple at most.
    assert max(least, allowed) + round_to * len(groups.sizes) >= left >= allowed - round_to * len(groups.sizes)


def test_global_takes_from_where_channels_are_worth_least(groups: Groups) -> None:
    cut = Cut(ratio=0.2, round_to=1, ranking="global")
    widths = ranked(groups, even(groups, low=2), cut, groups.sizes)
    assert widths[2] == 1
    assert all(width > groups.sizes[space] // 2 for space, width in widths.items() if space != 2)


def test_isomorphic_compares_groups_of_one_topology_only(groups: Groups) -> None:
    """Groups between layers of the same kinds give and take among each other; the others keep their share."""
    kinds = {space: topology(groups, (space,)) for space in groups.sizes}
    alike = [space for space in groups.sizes if kinds[space] == kinds[2]]
    assert 1 < len(alike) < len(groups.sizes)
    cut = Cut(ratio=0.25, round_to=1, ranking="isomorphic")
    widths = ranked(groups, even(groups, low=2), cut, groups.sizes)
    share = {space: widths.get(space, groups.sizes[space]) / groups.sizes[space] for space in groups.sizes}
    assert share[2] < 0.2
    assert all(share[space] > 0.75 for space in alike if space != 2)
    assert all(share[space] == pytest.approx(0.75, abs=0.05) for space in groups.sizes if space not in alike)


def test_a_share_of_what_was_before_earlier_steps(groups: Groups) -> None:
    doubled = {space: 2 * size for space, size in groups.sizes.items()}
    assert ranked(groups, even(groups), Cut(ratio=0.5, round_to=1), doubled) == {}


def test_the_best_are_chosen(groups: Groups) -> None:
    kept = choose(groups, {1: torch.tensor([3.0, 1, 2, 5, 4, 0, 7, 6] * (groups.sizes[1] // 8))}, {1: 8})
    best = torch.tensor([6, 7, 14, 15])
    assert torch.isin(best, kept[1]).all()
    assert torch.equal(kept[1], kept[1].sort().values)


def test_parts_come_before_round_numbers(untrained: Model) -> None:
    groups = find_groups(family("shufflenet_v2", untrained).module, untrained.spec.shape)
    space = next(space for space, multiple in groups.multiples.items() if multiple == 2)
    assert step(groups, space, 3) == 6
    assert step(groups, space, groups.sizes[space] - 1) == 2


def test_widths_that_do_not_work_out_are_refused(untrained: Model) -> None:
    groups = find_groups(family("shufflenet_v2", untrained).module, untrained.spec.shape)
    family_ = next(spaces for spaces in groups.together if len(spaces) > 1)
    scored = {space: torch.rand(groups.sizes[space]) for space in family_}
    with pytest.raises(StageFailed, match="cannot have these widths"):
        choose(groups, scored, {family_[0]: groups.sizes[family_[0]] // 2})
