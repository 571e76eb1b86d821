"""What neighbours can stand in for costs nothing, and least squares leaves the least error."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pruners.reconstruction import Reader, compensation, damped

SEEDS = st.integers(0, 2**31 - 1)


def features_PF(seed: int, wide: int = 6) -> torch.Tensor:
    """Correlated, non-negative, as behind a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(wide, wide, generator=generator)
    return (torch.randn(400, wide, generator=generator) @ mixing).relu().double()


def moments_of(x_PF: torch.Tensor) -> torch.Tensor:
    return x_PF.T @ x_PF / len(x_PF)


@given(seed=SEEDS, left=st.sets(st.integers(0, 5), min_size=1, max_size=5))
def test_compensation_is_nearer_than_cutting_and_is_least_squares(seed: int, left: set[int]) -> None:
    x_PF, kept = features_PF(seed), torch.tensor(sorted(left))
    weight_KF = torch.randn(3, 6, generator=torch.Generator().manual_seed(seed)).double()
    wanted_PK = x_PF @ weight_KF.T
    found = compensation(weight_KF, kept, moments_of(x_PF))
    error = (x_PF[:, kept] @ found.T - wanted_PK).square().mean()
    assert error <= (x_PF[:, kept] @ weight_KF[:, kept].T - wanted_PK).square().mean() + 1e-9
    best = torch.linalg.lstsq(x_PF[:, kept], wanted_PK).solution
    # The ridge, a thousandth of the mean moment, is all that is between them.
    ridge = 1e-3 * moments_of(x_PF[:, kept]).diagonal().mean() * best.square().sum()
    assert error <= (x_PF[:, kept] @ best - wanted_PK).square().mean() + ridge


def test_compensation_of_taps_and_of_nothing() -> None:
    x_PF = features_PF(0)
    weight = torch.randn(3, 6, 2, 2)
    kept = torch.arange(5)
    whole = compensation(weight, kept, moments_of(x_PF))
    assert whole.shape == (3, 5, 2, 2)
    for tap in ((0, 0), (1, 0)):
        alone = compensation(weight[:, :, *tap], kept, moments_of(x_PF))
        torch.testing.assert_close(whole[:, :, *tap], alone)
    assert torch.equal(compensation(weight, torch.arange(6), moments_of(x_PF)), weight)


@given(seed=SEEDS)
def test_the_error_told_is_the_error_made(seed: int) -> None:
    moments_FF = moments_of(features_PF(seed))
    weight_KF = torch.randn(3, 6, generator=torch.Generator().manual_seed(seed)).double()
    reader = Reader(torch.ones(6, dtype=torch.bool), torch.arange(6), weight_KF, moments_FF)
    told_C = reader.errors(6)
    ridged_FF = damped(moments_FF)
    for channel in range(6):
        kept = torch.tensor([one for one in range(6) if one != channel])
        share_GR = torch.linalg.solve(ridged_FF[kept][:, kept], ridged_FF[kept][:, channel])
        change_KF = weight_KF.clone()
        change_KF[:, kept] = -torch.outer(weight_KF[:, channel], share_GR)
        made = torch.einsum("kf,fg,kg->", change_KF, ridged_FF, change_KF)
        assert float(told_C[channel]) == pytest.approx(float(made), rel=1e-6, abs=1e-9)


@given(seed=SEEDS)
def test_going_one_by_one_ends_where_going_together_does(seed: int) -> None:
    moments_FF = damped(moments_of(features_PF(seed)))
    weight_KF = torch.randn(3, 6, generator=torch.Generator().manual_seed(seed)).double()
    reader = Reader(torch.ones(6, dtype=torch.bool), torch.arange(6), weight_KF, moments_FF)
    for channel in (4, 1):
        reader.remove(channel)
    kept = torch.tensor([0, 2, 3, 5])
    share_GR = torch.linalg.solve(damped(moments_FF)[kept][:, kept], damped(moments_FF)[kept][:, [1, 4]])
    together_KG = weight_KF[:, kept] + weight_KF[:, [1, 4]] @ share_GR.T
    torch.testing.assert_close(reader.weight_KFT[:, kept, 0], together_KG, rtol=1e-6, atol=1e-8)
    assert bool((reader.weight_KFT[:, [1, 4]] == 0).all())


def test_what_another_channel_says_as_well_costs_nearly_nothing() -> None:
    x_PF = features_PF(3)
    x_PF[:, 5] = 2 * x_PF[:, 0]
    reader = Reader(torch.ones(6, dtype=torch.bool), torch.arange(6), torch.ones(3, 6), moments_of(x_PF))
    cheap = set(reader.errors(6).sort().indices[:2].tolist())
    assert cheap == {0, 5}


def test_a_flattened_channel_goes_with_all_its_features() -> None:
    own, channels = torch.tensor([True] * 4 + [False] * 2), torch.tensor([0, 0, 1, 1])
    reader = Reader(own, channels, torch.ones(3, 6), moments_of(features_PF(1)))
    assert reader.errors(2).shape == (2,)
    reader.remove(1)
    assert bool((reader.weight_KFT[:, 2:4] == 0).all())
    assert bool((reader.weight_KFT[:, [0, 1, 4, 5]] != 0).all())
