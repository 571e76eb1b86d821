"""Raw samples of latency, and what they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.measure.statistics import nested_intervals, ratio_interval
from pipeline.measure.watch import Seen
from pipeline.results import Conditions, Interval, Latency, Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Student's t of four is 3.2, of three 4.3: fewer sittings would need far more rounds to say the same.
LEAST_SITTINGS = 4
PERCENTILES = (50.0, 90.0, 99.0)
# A clock that changes by more than this is another machine.
DRIFT_LIMIT = 3.0


@dataclass(frozen=True)
class Sitting:
    """All variants, opened once.

    Attributes:
        ms_RVC: milliseconds of every call (rounds, variants, calls).
        warm_up_V: calls before the first round.
        joules_V: used by all of a variant's calls; None where the machine does not tell.
    """

    ms_RVC: NDArray[np.float64]
    warm_up_V: NDArray[np.int_]
    seen: Seen
    joules_V: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Timings:
    """What was measured, disturbed sittings included.

    Attributes:
        openings_V: how often each file was opened.
        seconds: the whole took. energy: "measured", or why it was not.
    """

    sittings: tuple[Sitting, ...]
    openings_V: NDArray[np.int_]
    seconds: float
    energy: str

    @property
    def unstable(self) -> tuple[str, ...]:
        """Why these timings should not be relied on."""
        return (*self._disturbed(), *self._drifted())

    @property
    def counting(self) -> tuple[Sitting, ...]:
        """The undisturbed sittings; all of them where too few are."""
        calm = tuple(sitting for sitting in self.sittings if not sitting.seen.disturbed)
        return calm if len(calm) >= LEAST_SITTINGS else self.sittings

    def _disturbed(self) -> list[str]:
        disturbed, total = [sitting.seen for sitting in self.sittings if sitting.seen.disturbed], len(self.sittings)
        if total - len(disturbed) >= LEAST_SITTINGS:
            return []
        others, steal = (_median([getattr(seen, name) for seen in disturbed]) for name in ("others", "steal"))
        found = f"other processes used {others:.1f} cores, and the host took {steal:.0%} of the time"
        return [f"{found}, while {len(disturbed)} of {total} sittings were disturbed"]

    def _drifted(self) -> list[str]:
        drift = self.drift
        return [f"the machine's speed changed by {drift:.1f}× while it was measured"] if drift > DRIFT_LIMIT else []

    @property
    def drift(self) -> float:
        """Slowest sitting that counts / fastest, as the geometric mean over all variants."""
        import numpy as np

        levels = [float(np.log(np.median(sitting.ms_RVC, axis=(0, 2))).mean()) for sitting in self.counting]
        return math.exp(max(levels) - min(levels))

    def ms_SRVC(self) -> NDArray[np.float64]:
        """Milliseconds of every call that counts (sittings, rounds, variants, calls)."""
        import numpy as np

        return np.stack([sitting.ms_RVC for sitting in self.counting])

    def ratio(self, base: int, other: int) -> Interval:
        """How many times faster ``other`` is than ``base``."""
        return ratio_interval(ratios(self.counting, base)[:, other])

    def precision(self, reference: int) -> float:
        """How far the widest ratio's interval reaches to a side, as a fraction of the ratio."""
        return precision(self.counting, reference)

    def conditions(self, reference: int) -> Conditions:
        return Conditions(
            seconds=round(self.seconds, 2),
            sittings=len(self.counting),
            set_aside=len(self.sittings) - len(self.counting),
            others=_median([sitting.seen.others for sitting in self.counting]),
            steal=_median([sitting.seen.steal for sitting in self.counting]),
            drift=round(self.drift, 3),
            precision=self.precision(reference),
            energy=self.energy,
            unstable=self.unstable,
        )

    def energy_mj(self, variant: int) -> float | None:
        """Millijoules of one call."""
        joules = [sitting.joules_V[variant] for sitting in self.counting if sitting.joules_V is not None]
        calls = sum(sitting.ms_RVC[:, variant].size for sitting in self.counting)
        return 1e3 * float(sum(joules)) / calls if joules else None

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays by name, which ``from_arrays`` takes back."""
        import numpy as np

        joules = [sitting.joules_V for sitting in self.sittings if sitting.joules_V is not None]
        seen = [(sitting.seen.seconds, sitting.seen.others, sitting.seen.steal) for sitting in self.sittings]
        return {
            "ms_SRVC": np.stack([sitting.ms_RVC for sitting in self.sittings]),
            "warm_up_SV": np.stack([sitting.warm_up_V for sitting in self.sittings]),
            "seen_S3": np.array(seen),
            "joules_SV": np.array(joules),
            "openings_V": self.openings_V,
            "seconds": np.array(self.seconds),
            "energy": np.array(self.energy),
        }

    @classmethod
    def from_arrays(cls, arrays: Any) -> Timings:
        joules = list(arrays["joules_SV"]) or [None] * len(arrays["ms_SRVC"])
        parts = zip(arrays["ms_SRVC"], arrays["warm_up_SV"], arrays["seen_S3"], joules, strict=True)
        sittings = tuple(Sitting(ms, warm_up, Seen(*map(float, seen)), used) for ms, warm_up, seen, used in parts)
        return cls(sittings, arrays["openings_V"], float(arrays["seconds"]), str(arrays["energy"]))


def ratios(sittings: Sequence[Sitting], base: int) -> NDArray[np.float64]:
    """ratios_SV: of each sitting, how many times faster a variant was than ``base``, each in its fastest round."""
    ms_SV = _fastest(sittings)
    found: NDArray[np.float64] = ms_SV[:, base, None] / ms_SV
    return found


def precision(sittings: Sequence[Sitting], reference: int) -> float:
    """How far the widest ratio's interval reaches to a side, as a fraction of the ratio.

    Of a variant that is alone, the interval of its own time.
    """
    ratios_SV = ratios(sittings, reference)
    if ratios_SV.shape[1] == 1:
        ratios_SV = _fastest(sittings)
    intervals = [ratio_interval(ratios_SV[:, index]) for index in range(ratios_SV.shape[1])]
    return max(interval.high / interval.value - 1 for interval in intervals)


def _fastest(sittings: Sequence[Sitting]) -> NDArray[np.float64]:
    """ms_SV: the median call of the fastest round, as whatever else runs only adds time (Chen & Revels, 2016)."""
    import numpy as np

    return np.stack([np.median(sitting.ms_RVC, axis=2).min(axis=0) for sitting in sittings])


def summarize(timings: Timings, reference: int) -> list[Latency]:
    """One ``Latency`` a variant, compared with variant ``reference``."""
    import numpy as np

    ms_SRVC, unstable = timings.ms_SRVC(), bool(timings.unstable)
    warm_up_SV = np.stack([sitting.warm_up_V for sitting in timings.counting])
    found = []
    for index in range(ms_SRVC.shape[2]):
        p50, p90, p99, mean = nested_intervals(ms_SRVC[:, :, index], PERCENTILES)
        ratio = timings.ratio(reference, index)
        found.append(
            Latency(
                p50_ms=p50,
                p90_ms=p90,
                p99_ms=p99,
                mean_ms=mean,
                ratio=ratio,
                verdict="reference" if index == reference else "unstable" if unstable else verdict(ratio),
                sittings_ms=tuple(round(float(ms), 5) for ms in np.median(ms_SRVC[:, :, index], axis=(1, 2))),
                calls=ms_SRVC[:, :, index].size,
                openings=int(timings.openings_V[index]),
                warm_up_calls=int(np.median(warm_up_SV[:, index])),
            )
        )
    return found


def verdict(ratio: Interval) -> Verdict:
    """What a ratio's interval shows: nothing, where it contains 1."""
    if ratio.low > 1:
        return "faster"
    return "slower" if ratio.high < 1 else "no difference shown"


def _median(values: Sequence[float]) -> float:
    import numpy as np

    return round(float(np.median(values)), 3)
