"""Ranges: what each method keeps of the values it saw, and that it forgets the values themselves."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterable
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StageFailed
from pipeline.quantizers._ranges import (
    AVERAGING,
    BINS,
    LEVELS,
    METHODS,
    Bounds,
    Histogram,
    LeastDivergence,
    LeastError,
    MinMax,
    MovingAverage,
    Percentile,
    Range,
)

ALL = pytest.mark.parametrize("method", METHODS)
HISTOGRAMS: tuple[type[Histogram], ...] = (Percentile, LeastDivergence, LeastError)

NUMBER = st.floats(-1e4, 1e4, width=32, allow_subnormal=False)
BATCHES = st.lists(st.lists(NUMBER, min_size=1, max_size=12), min_size=1, max_size=6)


def found(kind: type[Range], batches: Iterable[Iterable[float] | torch.Tensor]) -> Range:
    watching = kind()
    for batch in batches:
        watching.watch(batch if isinstance(batch, torch.Tensor) else torch.tensor(list(batch)))
    return watching


def counted(batches: Iterable[Iterable[float] | torch.Tensor]) -> Histogram:
    watching = found(LeastError, batches)
    assert isinstance(watching, Histogram)
    return watching


def normal(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(seed))


def heavy_tailed(count: int, seed: int) -> torch.Tensor:
    """Student's t with three degrees of freedom."""
    chi = torch.stack([normal(count, 100 * seed + part) for part in range(1, 4)]).square().mean(0)
    return normal(count, 100 * seed) / chi.sqrt()


def rounding_error(x: torch.Tensor, bounds: Bounds) -> float:
    """Mean squared error of the values on the int8 grid of that range."""
    low, high = bounds
    scale = (high - low) / (LEVELS - 1)
    zero = round(-low / scale)
    steps = (torch.round(x.double() / scale) + zero).clamp(0, LEVELS - 1)
    return float(((steps - zero) * scale - x.double()).square().mean())


@ALL
@given(batches=BATCHES)
def test_bounds_hold_zero_and_stay_within_what_was_seen(method: str, batches: list[list[float]]) -> None:
    low, high = found(METHODS[method], batches).bounds()
    seen = torch.tensor([value for batch in batches for value in [*batch, 0.0]])
    assert float(seen.min()) <= low <= 0 <= high <= float(seen.max())
    assert math.isfinite(high - low)


@ALL
@given(batches=BATCHES)
def test_what_has_one_sign_has_a_range_on_that_side(method: str, batches: list[list[float]]) -> None:
    low, high = found(METHODS[method], batches).bounds()
    values = [value for batch in batches for value in batch]
    if min(values) > 0:
        assert high > 0
    if max(values) < 0:
        assert low < 0


@given(batches=BATCHES, data=st.data())
def test_min_max_knows_neither_order_nor_batches(batches: list[list[float]], data: st.DataObject) -> None:
    values = data.draw(st.permutations([value for batch in batches for value in batch]))
    together = [value for batch in batches for value in [*batch, 0.0]]
    expected = tuple(float(torch.tensor(end)) for end in (min(together), max(together)))
    assert found(MinMax, batches).bounds() == found(MinMax, [values]).bounds() == expected


@given(exponents=st.permutations([-3, 0, 0, 2, 5]), cuts=st.lists(st.integers(1, 799), max_size=4))
def test_counts_know_neither_order_nor_batches_where_edges_are_powers_of_two(
    exponents: list[int], cuts: list[int]
) -> None:
    """A batch reaches down to a power of two, so that every bin is whole bins of a narrower histogram.

    Values have few digits: adding the edge to them rounds none into another bin.
    """
    batches = []
    for place, exponent in enumerate(exponents):
        batch = torch.round(normal(160, seed=place) * 2**12).clamp(-(2**12), 2**12 - 1) * 2.0 ** (exponent - 12)
        batch[0] = -(2.0**exponent)
        batches.append(batch)
    values = torch.cat(sorted(batches, key=lambda batch: float(batch.min())))  # the widest first
    ends = [0, *sorted(set(cuts)), len(values)]
    cut = [values[start:stop] for start, stop in pairwise(ends)]
    one, other, third = counted(batches), counted(cut), counted([values])
    assert one.edge == other.edge == third.edge == 32
    assert torch.equal(one.counts, third.counts)
    assert torch.equal(other.counts, third.counts)


@given(batches=BATCHES)
def test_every_value_but_zeros_is_counted_once(batches: list[list[float]]) -> None:
    histogram = counted(batches)
    values = torch.tensor([value for batch in batches for value in batch])
    assert int(histogram.counts.sum()) == int(torch.count_nonzero(values))
    assert float(histogram.counts.min()) >= 0
    assert histogram.edge >= float(values.abs().max())


@given(batches=BATCHES)
def test_no_value_is_counted_far_from_where_it_lies(batches: list[list[float]]) -> None:
    """The mean of the counted centres is within a bin of the values' mean, however often the edge doubled."""
    histogram = counted(batches)
    values = torch.tensor([value for batch in batches for value in batch], dtype=torch.float64)
    values = values[values != 0]
    if len(values):
        mean = float((histogram.counts * histogram.centres).sum() / histogram.counts.sum())
        assert mean == pytest.approx(float(values.mean()), abs=histogram.width)


@pytest.mark.parametrize("kind", HISTOGRAMS)
def test_zeros_change_nothing(kind: type[Histogram]) -> None:
    x = normal(5000)
    without = found(kind, [x]).bounds()
    assert found(kind, [torch.cat([x, torch.zeros(10**6)]), torch.zeros(500)]).bounds() == without
    assert found(kind, [torch.zeros(500), x]).bounds() == without


@ALL
def test_nothing_but_zeros(method: str) -> None:
    assert found(METHODS[method], [torch.zeros(4, 3), torch.zeros(7)]).bounds() == (0, 0)
    assert METHODS[method]().bounds() == (0, 0)


@ALL
@pytest.mark.parametrize("constant", [5.0, -0.3, 1e-20, 1e20])
def test_a_constant_is_kept(method: str, constant: float) -> None:
    low, high = found(METHODS[method], [torch.full((50,), constant)] * 3).bounds()
    assert (low, high) == pytest.approx((min(constant, 0), max(constant, 0)), rel=1e-3, abs=0)


@ALL
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(method: str, bad: float) -> None:
    watching = found(METHODS[method], [[1.0, -1.0]])
    with pytest.raises(StageFailed, match="NaN or infinite"):
        watching.watch(torch.tensor([0.5, bad, 0.5]))


@ALL
def test_memory_does_not_grow_with_the_values(method: str) -> None:
    watching = METHODS[method]()

    def held() -> int:
        seen, open_ends, size = set(), [watching], 0
        while open_ends:
            part = open_ends.pop()
            if id(part) not in seen and not isinstance(part, type):
                seen.add(id(part))
                size += part.untyped_storage().nbytes() if isinstance(part, torch.Tensor) else 1
                open_ends += [] if isinstance(part, torch.Tensor) else gc.get_referents(part)
        return size

    watching.watch(normal(100))
    before = held()
    for seed in range(20):
        watching.watch(normal(20_000, seed) * 2.0**seed)
    assert held() <= before + 8 < 10 * BINS


@pytest.mark.parametrize("kind", [Percentile, LeastError])
def test_one_outlier_is_clipped(kind: type[Range]) -> None:
    """One among two million: to hold it would cost the others more than it loses."""
    batches = [normal(10**6), torch.tensor([20.0]), normal(10**6, 1)]
    low, high = found(kind, batches).bounds()
    assert 3.5 < high < 8
    assert -6 < low < -3.5
    assert found(MinMax, batches).bounds()[1] == 20


def test_the_share_that_a_percentile_leaves_outside() -> None:
    x = normal(400_000)
    low, high = found(Percentile, [x]).bounds()
    assert int((x > high).sum()) + int((x < low).sum()) == pytest.approx(40, abs=12)
    assert int((x > high).sum()) == pytest.approx(20, abs=8)


def test_a_percentile_of_what_a_relu_gives() -> None:
    low, high = found(Percentile, [normal(10**6).clamp(min=0)]).bounds()
    assert low == 0
    assert high == pytest.approx(4.06, abs=0.1)  # one in 20,000 of the positive values lies above


@pytest.mark.parametrize("ends", [(-1.0, 1.0), (0.0, 3.0), (-2.0, 0.0)])
def test_of_a_uniform_distribution_nearly_everything_is_kept(ends: Bounds) -> None:
    low, high = ends
    x = torch.rand(100_000, generator=torch.Generator().manual_seed(0)) * (high - low) + low
    kept = found(LeastError, x.split(10_000)).bounds()
    assert kept[1] - kept[0] > 0.97 * (high - low)


@pytest.mark.parametrize("seed", range(5))
def test_least_error_rounds_heavy_tails_better_than_min_max(seed: int) -> None:
    x = heavy_tailed(400_000, seed)
    ours, widest = (rounding_error(x, found(kind, x.split(70_000)).bounds()) for kind in (LeastError, MinMax))
    assert ours < 0.8 * widest


@given(seed=st.integers(0, 50), shift=st.sampled_from([-2.0, 0.0, 0.5, 3.0]), power=st.sampled_from([0.5, 1.0, 1.5]))
def test_least_error_is_never_much_worse_than_min_max(seed: int, shift: float, power: float) -> None:
    """What it minimizes is the error that is measured, where values are spread over many steps."""
    x = normal(4_000, seed)
    x = x.sign() * x.abs() ** power + shift
    ours, widest = (rounding_error(x, found(kind, [x]).bounds()) for kind in (LeastError, MinMax))
    assert ours <= 1.1 * widest


def test_least_error_is_near_the_best_range_there_is() -> None:
    """Compared with an exhaustive search over both ends, on the values themselves."""
    x = heavy_tailed(20_000, 7)
    low, high = float(x.min()), float(x.max())
    shares = [step / 16 for step in range(1, 17)]
    best = min(rounding_error(x, (low * one, high * other)) for one in shares for other in shares)
    least = max(low * 0.25, low), min(high * 0.25, high)  # ends are never searched below a quarter
    assert rounding_error(x, found(LeastError, [x]).bounds()) <= max(1.1 * best, rounding_error(x, least) * 1.01)


def test_least_divergence_clips_a_lone_outlier_but_no_mass() -> None:
    """An end that holds a tenth of all values is worth more than finer steps."""
    x = normal(100_000)
    clipped = found(LeastDivergence, [torch.cat([x, torch.tensor([100.0])])]).bounds()[1]
    massive = found(LeastDivergence, [torch.cat([x, torch.full((10_000,), 20.0)])]).bounds()[1]
    assert 3 < clipped < 50
    assert massive > 19.9


def test_a_moving_average_by_hand() -> None:
    watching = MovingAverage()
    watching.watch(torch.tensor([-1.0, 2.0]))
    assert watching.bounds() == (-1, 2)
    watching.watch(torch.tensor([-3.0, 6.0]))
    assert watching.bounds() == pytest.approx((-1 - 2 * AVERAGING, 2 + 4 * AVERAGING))


def test_a_moving_average_forgets_one_wild_batch() -> None:
    batches = [normal(1000, seed) for seed in range(200)]
    usual = found(MovingAverage, batches).bounds()[1]
    assert found(MovingAverage, [*batches[:40], batches[40] * 100, *batches[41:]]).bounds()[1] < 1.05 * usual
    assert usual == pytest.approx(3.2, abs=0.3)  # the largest of a thousand


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@ALL
def test_other_precisions(method: str, dtype: torch.dtype) -> None:
    x = normal(2_000).to(dtype)
    low, high = found(METHODS[method], [x, x * 3]).bounds()
    assert float(x.min() * 3) <= low < -0.4
    assert 0.4 < high <= float(x.max() * 3)
