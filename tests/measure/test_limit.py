"""The least time a processor could need: arithmetic or memory, whichever takes longer."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.measure import limit
from pipeline.measure.limit import (
    LARGEST_BYTES,
    SMALLEST_BYTES,
    Floor,
    _rounded,
    bandwidth_bytes_per_s,
    floor,
    peak_macs_per_s,
)

COUNTS = st.integers(1, 10**10)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A float MAC takes a nanosecond, an int8 one a quarter, a byte a tenth."""
    monkeypatch.setattr(limit, "peak_macs_per_s", lambda integer, threads=1: (4e9 if integer else 1e9) * threads)
    monkeypatch.setattr(limit, "bandwidth_bytes_per_s", lambda block, threads=1: 1e10)


@pytest.mark.usefixtures("machine")
def test_by_hand() -> None:
    assert floor(5_000_000, 10_000_000, integer=False) == Floor(ms=5.0, bound="arithmetic")
    assert floor(5_000_000, 100_000_000, integer=False) == Floor(ms=10.0, bound="memory")
    assert floor(5_000_000, 10_000_000, integer=True) == Floor(ms=1.25, bound="arithmetic")
    assert floor(5_000_000, 10_000_000, integer=False, threads=4) == Floor(ms=1.25, bound="arithmetic")


@pytest.mark.usefixtures("machine")
@given(COUNTS, COUNTS, st.booleans())
def test_it_is_the_larger_of_both(macs: int, file_bytes: int, integer: bool) -> None:
    found = floor(macs, file_bytes, integer)
    arithmetic_ms, memory_ms = 1e3 * macs / (4e9 if integer else 1e9), 1e3 * file_bytes / 1e10
    assert found.ms == max(arithmetic_ms, memory_ms)
    assert found.bound == ("arithmetic" if arithmetic_ms >= memory_ms else "memory")


def test_the_share_of_what_is_possible() -> None:
    found = Floor(ms=0.5, bound="memory").limit(2.0)
    assert (found.floor_ms, found.bound, found.share) == (0.5, "memory", 0.25)


@pytest.mark.parametrize("integer", [False, True])
def test_a_peak_is_measured_once_and_threads_are_as_they_were(integer: bool) -> None:
    assert peak_macs_per_s(integer) == peak_macs_per_s(integer) > 1e8
    assert torch.get_num_threads() == 1


def test_bandwidth_is_measured() -> None:
    assert bandwidth_bytes_per_s(SMALLEST_BYTES) > 1e7


@given(st.integers(1, 10**12))
def test_blocks_are_powers_of_two_within_bounds(file_bytes: int) -> None:
    found = _rounded(file_bytes)
    assert SMALLEST_BYTES <= found <= LARGEST_BYTES
    assert found.bit_count() == 1
    assert found >= min(file_bytes, LARGEST_BYTES)
    assert found < 2 * max(file_bytes, SMALLEST_BYTES)
