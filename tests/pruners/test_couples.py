"""Sets that come together by couples are those that a search through the couples finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.pruners._couples import Couples


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=30))
def test_as_a_search_finds_them(pairs: list[tuple[int, int]]) -> None:
    couples = Couples()
    for pair in pairs:
        couples.couple(pair)
    sets = couples.sets(range(21))
    assert sorted(number for found in sets.values() for number in found) == list(range(21))
    for least, found in sets.items():
        reached, waiting = set(), {least}
        while waiting:
            reached |= waiting
            waiting = {b for a, b in [*pairs, *(pair[::-1] for pair in pairs)] if a in reached} - reached
        assert set(found) == reached
        assert least == min(found)
