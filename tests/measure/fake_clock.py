"""A machine on which time passes only when a timed call says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

from pipeline.measure.latency import Opener, Timer, timer
from pipeline.measure.watch import Seen

CALM, DISTURBED = Seen(1.0, 0.0, 0.0), Seen(1.0, 1.5, 0.02)


@dataclass
class Clock:
    """Time, and what was done in it.

    Attributes:
        calls: the variant of every call. opened: the variant of every opening.
        seen: what is seen in each sitting; nothing disturbs where it ends.
    """

    ns: int = 0
    calls: list[int] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)
    seen: Iterator[Seen] = field(default_factory=lambda: iter(()))

    def perf_counter_ns(self) -> int:
        return self.ns

    def perf_counter(self) -> float:
        return self.ns / 1e9

    def monotonic(self) -> float:
        return self.ns / 1e9

    def pass_ms(self, ms: float) -> None:
        self.ns += round(ms * 1e6)

    def opener(self, index: int, ms: Callable[[], float], opening_ms: float = 0.0) -> Opener:
        """Opens variant ``index``, whose calls take what ``ms`` says."""

        def call() -> None:
            self.calls.append(index)
            self.pass_ms(ms())

        def opened() -> Timer:
            self.opened.append(index)
            self.pass_ms(opening_ms)
            return timer(call)

        return opened

    def openers(self, *ms: float) -> list[Opener]:
        """One variant a number, always so fast."""
        return [self.opener(index, lambda one=one: one) for index, one in enumerate(ms)]

    def watched(self, seen: Iterable[Seen]) -> None:
        self.seen = iter(seen)

    def watch(self) -> nullcontext[object]:
        return _Watch(next(self.seen, CALM))


class _Watch(nullcontext):  # type: ignore[type-arg]
    def __init__(self, seen: Seen) -> None:
        super().__init__(self)
        self.seen = seen
