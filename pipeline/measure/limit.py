"""How much faster a network could be on this processor: its measured peak and bandwidth."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Literal

from pipeline.results import Limit
from pipeline.spec import Value

if TYPE_CHECKING:
    import torch

EDGE = 768  # a matrix product of this edge is as near the peak as any
REPEATS = 12
SMALLEST_BYTES, LARGEST_BYTES = 2**16, 2**27


class Floor(Value):
    """The least time of one image. bound: what takes it."""

    ms: float
    bound: Literal["arithmetic", "memory"]

    def limit(self, p50_ms: float) -> Limit:
        """Beside the time that was measured."""
        return Limit(floor_ms=round(self.ms, 5), bound=self.bound, share=round(self.ms / p50_ms, 4))


def floor(macs: int, file_bytes: int, integer: bool, threads: int = 1) -> Floor:
    """All multiply-accumulates at the peak, or all weights read once, whichever takes longer.

    Weights that were used a moment ago lie in a cache, so the bandwidth is that of a block of the
    file's size. A float network is held to the float peak, an int8 one to the int8 peak.
    """
    arithmetic_ms = 1e3 * macs / peak_macs_per_s(integer, threads)
    memory_ms = 1e3 * file_bytes / bandwidth_bytes_per_s(_rounded(file_bytes), threads)
    return Floor(ms=max(arithmetic_ms, memory_ms), bound="arithmetic" if arithmetic_ms >= memory_ms else "memory")


@cache
def peak_macs_per_s(integer: bool, threads: int = 1) -> float:
    """Multiply-accumulates a second of the best of several large matrix products, float32 or int8."""
    import torch

    kind = torch.int8 if integer else torch.float32
    a, b = (_matrix(kind) for _ in range(2))
    multiply = torch._int_mm if integer else torch.mm
    return EDGE**3 / _best_s(lambda: multiply(a, b), threads)


@cache
def bandwidth_bytes_per_s(block_bytes: int, threads: int = 1) -> float:
    """Bytes a second at which a block that was read before is read again."""
    import torch

    block = torch.ones(block_bytes // 4)
    return block_bytes / _best_s(block.sum, threads)


def _matrix(kind: torch.dtype) -> torch.Tensor:
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(-127, 127, (EDGE, EDGE), generator=generator).to(kind)


def _rounded(file_bytes: int) -> int:
    """To a power of two, so that files of like size share a measurement."""
    return int(min(max(1 << (file_bytes - 1).bit_length(), SMALLEST_BYTES), LARGEST_BYTES))


def _best_s(work: Callable[[], object], threads: int) -> float:
    import torch

    before, best = torch.get_num_threads(), float("inf")
    torch.set_num_threads(threads)
    try:
        for _ in range(REPEATS):
            start = time.perf_counter()
            work()
            best = min(best, time.perf_counter() - start)
    finally:
        torch.set_num_threads(before)
    return best
