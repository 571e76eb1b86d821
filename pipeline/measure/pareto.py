"""Which variants no other variant beats on both counts."""

from __future__ import annotations

from collections.abc import Sequence


def front(latency_ms: Sequence[float], top1: Sequence[float]) -> list[bool]:
    """For each point, whether no other is at least as fast and as accurate, and better in one.

    >>> front([1.0, 2.0, 3.0], [0.9, 0.95, 0.94])
    [True, True, False]
    """
    points = list(zip(latency_ms, top1, strict=True))
    return [not any(_dominates(other, point) for other in points) for point in points]


def _dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] >= other[1]
