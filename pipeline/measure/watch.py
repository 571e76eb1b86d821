"""What else a machine does while something is timed: other processes, and the host of a virtual machine."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from types import TracebackType

# Cores' worth of other work, and share of stolen time, above which timing is disturbed.
OTHERS_LIMIT, STEAL_LIMIT = 0.4, 0.10
# The system counts by ticks, and our own time exactly: one of them may be the rounding.
TICK_S = 0.01
BUSY = ("user", "nice", "system", "irq", "softirq")


@dataclass(frozen=True)
class Seen:
    """What was seen over ``seconds``.

    Attributes:
        others: cores that processes other than ours were running on. steal: share of time the host took.
    """

    seconds: float
    others: float
    steal: float

    @property
    def disturbed(self) -> bool:
        return self.others > OTHERS_LIMIT or self.steal > STEAL_LIMIT


@dataclass(frozen=True)
class _Reading:
    at: float
    busy: float
    stolen: float
    own: float
    cores: int


class Watch:
    """Watches the cores this process may use while its block runs; ``seen`` is known afterwards."""

    seen: Seen

    def __enter__(self) -> Watch:
        self._before = _read()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.seen = difference(self._before, _read())


def difference(before: _Reading, after: _Reading) -> Seen:
    """What happened between two readings."""
    seconds = max(after.at - before.at, 1e-9)
    others = (after.busy - before.busy - (after.own - before.own) - TICK_S) / seconds
    return Seen(seconds, max(0.0, others), max(0.0, (after.stolen - before.stolen) / (seconds * after.cores)))


def _read() -> _Reading:
    import psutil

    times = psutil.cpu_times(percpu=True)
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(times))
    mine = [times[core] for core in usable if core < len(times)]
    busy = sum(getattr(core, name, 0.0) for core in mine for name in BUSY)
    stolen = sum(getattr(core, "steal", 0.0) for core in mine)
    return _Reading(time.monotonic(), busy, stolen, time.process_time() + _children_s(), len(mine))


def _children_s() -> float:
    """Processor seconds of the processes that work for this one."""
    import psutil

    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            spent = child.cpu_times()
        except psutil.Error:
            continue  # it ended in between
        total += spent.user + spent.system
    return total
