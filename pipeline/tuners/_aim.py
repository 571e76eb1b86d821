"""Towards a target: widths are chosen by estimate, measured, the estimate is corrected, and they are chosen again.

All times here are shares of the original network's, so that a machine whose speed changes says the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.results import Interval

TRIES = 5
LANDED = 0.05  # of the target, to either side
NEAR = 0.02  # closer than this no further try is worth its time

Widths = Mapping[int, int]


class Cut(NamedTuple):
    """Widths that were chosen, and the share of time that they are estimated to take."""

    widths: Widths
    estimate: float


@dataclass(frozen=True)
class Attempt:
    """A network that was measured. speed: original latency / its latency."""

    cut: Cut
    speed: Interval

    @property
    def share(self) -> float:
        return 1 / self.speed.value

    def misses(self, target: float) -> float:
        """How far from the target it lands, as a fraction of it."""
        return abs(self.share / target - 1)


class Unreachable(Exception):
    """Even the narrowest network takes more than the target. least: it."""

    def __init__(self, least: Attempt) -> None:
        super().__init__()
        self.least = least


def approach(choose: Callable[[float], Cut], measure: Callable[[Cut], Interval], target: float) -> tuple[Attempt, ...]:
    """What was tried, in order, until one is near the target, or nothing nearer can be chosen.

    Args:
        choose: the widths for an estimated share; the narrowest where none takes so little.
        measure: the speed of a network with these widths.
        target: share of the original's latency, in (0, 1).

    Raises:
        Unreachable: the narrowest network takes more than ``LANDED`` beyond the target.
    """
    attempts: list[Attempt] = []
    while len(attempts) < TRIES:
        wanted = corrected(attempts, target)
        cut = choose(wanted)
        if any(cut.widths == attempt.cut.widths for attempt in attempts):
            break
        attempts.append(Attempt(cut, measure(cut)))
        narrowest = cut.estimate > wanted
        if narrowest and attempts[-1].share > target * (1 + LANDED):
            raise Unreachable(attempts[-1])
        if attempts[-1].misses(target) <= NEAR:
            break
    return tuple(attempts)


def corrected(attempts: Sequence[Attempt], target: float) -> float:
    """The estimated share at which a network should measure the target.

    On the line between the two measurements that are just below and above it, the original's among them. Where
    all are above, on the line through the two lowest, at most half way down: some time no width saves.
    """
    known = sorted([(attempt.share, attempt.cut.estimate) for attempt in attempts] + [(1.0, 1.0)])
    below, above = [one for one in known if one[0] <= target], [one for one in known if one[0] > target]
    if below:
        return _on_line(below[-1], above[0], target)
    lowest = above[0]
    if len(above) == 1:
        return lowest[1] * target / lowest[0]
    return min(max(_on_line(lowest, above[1], target), lowest[1] / 2), lowest[1])


def _on_line(one: tuple[float, float], other: tuple[float, float], target: float) -> float:
    """The estimate that belongs to the share ``target``."""
    return one[1] + (target - one[0]) / max(other[0] - one[0], 1e-9) * (other[1] - one[1])


def nearest(attempts: Sequence[Attempt], target: float) -> Attempt:
    return min(attempts, key=lambda attempt: attempt.misses(target))
