"""Numbers that belong together: union-find (Galler and Fischer, 1964)."""

from __future__ import annotations

from collections.abc import Iterable


class Couples:
    """Sets of numbers, each known by its least; a number that was never coupled is alone."""

    def __init__(self) -> None:
        self.parent: dict[int, int] = {}

    def least(self, number: int) -> int:
        """The least number of the set that this one is in."""
        while (above := self.parent.get(number, number)) != number:
            self.parent[number] = self.parent.get(above, above)
            number = above
        return number

    def couple(self, numbers: Iterable[int]) -> None:
        """Make one set of all in which any of these numbers is."""
        leasts = sorted({self.least(number) for number in numbers})
        for other in leasts[1:]:
            self.parent[other] = leasts[0]

    def sets(self, numbers: Iterable[int]) -> dict[int, tuple[int, ...]]:
        """These numbers by the least of their set, in the order given."""
        found: dict[int, tuple[int, ...]] = {}
        for number in numbers:
            found[self.least(number)] = (*found.get(self.least(number), ()), number)
        return found
