"""From the values that pass a point of the network to the range that int8 shall cover.

Values come in batches and are forgotten at once: memory does not grow with their number.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal

import torch

from pipeline.errors import StageFailed

Method = Literal["min_max", "moving_average", "percentile", "entropy", "mse"]
Bounds = tuple[float, float]

AVERAGING = 0.05  # weight of a new batch
BINS = 4096
LEVELS = 256
PERCENTILE = 0.9999  # of what is not zero stays inside; as much is lost at either end
CANDIDATES, LEAST_SHARE = 64, 0.25  # ends that are tried between the outermost value and a quarter of it


class Range(ABC):
    """Watches values and tells their range."""

    def watch(self, x: torch.Tensor, where: str = "a layer") -> None:
        """Take in one batch.

        Args:
            where: what gave it, for the message.

        Raises:
            StageFailed: a value is NaN or infinite.
        """
        low, high = (float(value) for value in torch.aminmax(x.detach()))
        if not (math.isfinite(low) and math.isfinite(high)):
            cause = f"calibration met values that are NaN or infinite, first in what {where} gives"
            raise StageFailed(cause, "look at the images, and at that layer's weights and those before it")
        self.take(x, low, high)

    @abstractmethod
    def take(self, x: torch.Tensor, low: float, high: float) -> None:
        """Take in one batch of finite values between ``low`` and ``high``."""

    @abstractmethod
    def bounds(self) -> Bounds:
        """Lower and upper bound, lower ≤ 0 ≤ upper; zero must lie on every grid, as padding does."""


class MinMax(Range):
    """The smallest and the largest value."""

    def __init__(self) -> None:
        self.low, self.high = 0.0, 0.0

    def take(self, x: torch.Tensor, low: float, high: float) -> None:
        self.low, self.high = min(self.low, low), max(self.high, high)

    def bounds(self) -> Bounds:
        return self.low, self.high


class MovingAverage(Range):
    """Exponential moving averages of each batch's smallest and largest value (Jacob et al., 2018)."""

    def __init__(self) -> None:
        self.average: Bounds | None = None

    def take(self, x: torch.Tensor, low: float, high: float) -> None:
        before = self.average or (low, high)
        self.average = before[0] + AVERAGING * (low - before[0]), before[1] + AVERAGING * (high - before[1])

    def bounds(self) -> Bounds:
        low, high = self.average or (0.0, 0.0)
        return min(low, 0.0), max(high, 0.0)


class Histogram(Range):
    """Counts of all values but zeros, which every grid holds exactly, in equal bins over [−edge, edge].

    Where a value lies outside, ``edge`` doubles and bins merge in pairs, so that no count is lost.
    """

    def __init__(self) -> None:
        self.extremes = MinMax()
        self.edge = 0.0
        self.counts = torch.zeros(BINS, dtype=torch.float64)

    def take(self, x: torch.Tensor, low: float, high: float) -> None:
        self.extremes.take(x, low, high)
        most = max(-self.extremes.low, self.extremes.high)
        if most > 0:
            self._widen(most)
            self.counts += torch.histc(x.float(), BINS, -self.edge, self.edge).double().cpu()
            self.counts[BINS // 2] -= x.numel() - int(torch.count_nonzero(x))

    def _widen(self, most: float) -> None:
        self.edge = self.edge or most
        while most > self.edge:
            merged = self.counts.view(-1, 2).sum(1)
            self.counts = torch.nn.functional.pad(merged, (BINS // 4, BINS // 4))
            self.edge *= 2

    @property
    def centres(self) -> torch.Tensor:
        """The middle of each bin."""
        return (torch.arange(BINS, dtype=torch.float64) + 0.5) * self.width - self.edge

    @property
    def width(self) -> float:
        return 2 * self.edge / BINS

    def bounds(self) -> Bounds:
        extremes = self.extremes.bounds()
        return self.chosen(*extremes) if self.edge else extremes

    @abstractmethod
    def chosen(self, low: float, high: float) -> Bounds:
        """The range within the extremes, of which at least one is not zero."""


class Percentile(Histogram):
    """All but the outermost values."""

    def chosen(self, low: float, high: float) -> Bounds:
        share, outside = self.counts.cumsum(0) / self.counts.sum(), (1 - PERCENTILE) / 2
        first = int((share <= outside).sum()) * self.width - self.edge
        last = int((share < 1 - outside).sum() + 1) * self.width - self.edge
        return max(low, min(first, 0.0)), min(high, max(last, 0.0))


class LeastError(Histogram):
    """The range of least mean squared error, of clipping and of rounding (Banner et al., 2019)."""

    def chosen(self, low: float, high: float) -> Bounds:
        return _searched(low, high, self._error)

    def _error(self, low: float, high: float) -> float:
        clipped = self.centres - self.centres.clamp(low, high)
        inside = self.counts[clipped == 0].sum()
        step = (high - low) / (LEVELS - 1)
        return float((self.counts * clipped.square()).sum() + inside * step**2 / 12)


class LeastDivergence(Histogram):
    """The range in which the rounded distribution diverges least from the true one (Migacz, 2017)."""

    def chosen(self, low: float, high: float) -> Bounds:
        return _searched(low, high, self._divergence)

    def _divergence(self, low: float, high: float) -> float:
        inside = (self.centres > low) & (self.centres < high)
        true = self.counts[inside]
        levels = torch.round((self.centres[inside] - low) / (high - low) * (LEVELS - 1)).long()
        filled = (true > 0).double()
        totals, sharers = (torch.zeros(LEVELS).double().index_add_(0, levels, part) for part in (true, filled))
        rounded = filled * (totals / sharers.clamp(min=1))[levels]
        # What is clipped is given to the outermost bins of the true distribution alone: losing it costs.
        true[0] += self.counts[self.centres <= low].sum()
        true[-1] += self.counts[self.centres >= high].sum()
        return _kullback_leibler(true, rounded)


def _kullback_leibler(true: torch.Tensor, guess: torch.Tensor) -> float:
    """Divergence of two unnormalized distributions over the same bins."""
    true, guess = true / true.sum(), (guess / guess.sum().clamp(min=1e-12)).clamp(min=1e-12)
    return float(torch.special.xlogy(true, true / guess).sum())


def _searched(low: float, high: float, cost: Callable[[float, float], float]) -> Bounds:
    """The shares of both ends with the least cost, one end after the other."""
    shares = [1 - (1 - LEAST_SHARE) * step / CANDIDATES for step in range(CANDIDATES + 1)]
    high = min((high * share for share in shares), key=lambda end: cost(low, end))
    low = min((low * share for share in shares), key=lambda end: cost(end, high))
    return low, high


METHODS: dict[Method, type[Range]] = {
    "min_max": MinMax,
    "moving_average": MovingAverage,
    "percentile": Percentile,
    "entropy": LeastDivergence,
    "mse": LeastError,
}
