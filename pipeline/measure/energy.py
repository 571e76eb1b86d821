"""Energy of each variant, where the machine counts it (Linux' powercap: Intel and AMD packages)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

POWERCAP = Path("/sys/class/powercap")


@dataclass
class Meter:
    """Adds up what the processor packages used while a variant ran.

    Attributes:
        counters: files that count microjoules, one a package. limits: where each begins again.
        state: "measured", or why energy is not available.
        joules: by variant, since they were last taken.
    """

    counters: tuple[Path, ...]
    limits: tuple[int, ...]
    state: str
    joules: dict[int, float] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def here(cls, root: Path = POWERCAP) -> Iterator[Meter]:
        """The meter of this machine; one that counts nothing where there is none."""
        # Beside the packages there may be "psys", the whole platform, which includes them.
        names = sorted(root.glob("*-rapl:[0-9]*/name"))
        counters = tuple(name.with_name("energy_uj") for name in names if name.read_text().startswith("package"))
        if not counters:
            yield cls((), (), "not available: this machine has no energy counter")
            return
        try:
            limits = tuple(int((path.parent / "max_energy_range_uj").read_text()) for path in counters)
            [path.read_text() for path in counters]
        except OSError:
            yield cls((), (), "not available: the energy counter may be read by root alone")
            return
        yield cls(counters, limits, "measured")

    @contextmanager
    def reading(self, variant: int) -> Iterator[None]:
        """Count what is used inside the block as the variant's."""
        before = self._microjoules()
        yield
        pairs = zip(before, self._microjoules(), self.limits, strict=True)
        used = sum((after - first) % limit for first, after, limit in pairs)
        self.joules[variant] = self.joules.get(variant, 0.0) + used / 1e6

    def taken(self, variants: int) -> NDArray[np.float64] | None:
        """joules_V since the last time; None where nothing is counted."""
        import numpy as np

        taken, self.joules = self.joules, {}
        return np.array([taken[index] for index in range(variants)]) if self.counters else None

    def _microjoules(self) -> list[int]:
        return [int(path.read_text()) for path in self.counters]
