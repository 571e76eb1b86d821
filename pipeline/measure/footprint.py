"""What a file costs before it is fast: a new process that opens it and answers once."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import Artifact
from pipeline.aside import Aside
from pipeline.measure.machine import measuring_alone
from pipeline.results import Footprint, Interval
from pipeline.runtime import Runtime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Start:
    """One start: milliseconds of its parts, and bytes of memory."""

    cold_start_ms: float
    load_ms: float
    first_ms: float
    peak_bytes: int
    grown_bytes: int


def cold_start(runtime: Runtime, artifact: Artifact, x_NCHW: NDArray[np.float32], threads: int) -> Start:
    """Start a process, open the file there, and wait for its first answer.

    Raises:
        Crashed: the process died.
    """
    with measuring_alone(), Aside() as fresh:
        begun = time.monotonic()
        load_ms, first_ms, peak_bytes, grown_bytes = fresh.do(first_answer, runtime, artifact, x_NCHW, threads)
        return Start(1e3 * (time.monotonic() - begun), load_ms, first_ms, peak_bytes, grown_bytes)


def first_answer(
    runtime: Runtime, artifact: Artifact, x_NCHW: NDArray[np.float32], threads: int
) -> tuple[float, float, int, int]:
    """In the new process: milliseconds to open and to answer, peak memory, and how much of it was new."""
    before_bytes = memory_bytes("VmRSS")
    start = time.perf_counter()
    session = runtime.open(artifact, threads)
    opened = time.perf_counter()
    session(x_NCHW)
    answered = time.perf_counter()
    peak_bytes = memory_bytes("VmHWM")
    return 1e3 * (opened - start), 1e3 * (answered - opened), peak_bytes, peak_bytes - before_bytes


def memory_bytes(field: str) -> int:
    """Memory of this process, as Linux tells it; elsewhere the most it ever held.

    Not ``ru_maxrss``: on Linux a child starts with its parent's.
    """
    if STATUS.is_file():
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return 1024 * int(lines[field].split()[0])
    if field == "VmRSS":
        import psutil

        return int(psutil.Process().memory_info().rss)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def summary(starts: Sequence[Start]) -> Footprint | None:
    """Several starts as one; None where there were none."""
    if not starts:
        return None
    return Footprint(
        cold_start_ms=_spread([start.cold_start_ms for start in starts]),
        load_ms=_spread([start.load_ms for start in starts]),
        first_ms=_spread([start.first_ms for start in starts]),
        peak_bytes=max(start.peak_bytes for start in starts),
        grown_bytes=max(start.grown_bytes for start in starts),
    )


def _spread(values: Sequence[float]) -> Interval:
    import numpy as np

    return Interval(value=round(float(np.median(values)), 3), low=round(min(values), 3), high=round(max(values), 3))
