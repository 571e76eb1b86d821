"""What tests of tuners share: times that a test can foresee."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from pipeline.artifact import Artifact
from pipeline.aside import Aside
from pipeline.model import Model
from pipeline.progress import Progress, silent
from pipeline.quantizers.quantized import Quantized
from pipeline.results import Interval, Latency
from pipeline.tuners import mixed_precision
from pipeline.tuners._measured import Gauge


def latency(ms: float, first_ms: float) -> Latency:
    exact, ratio = (Interval(value=value, low=value, high=value) for value in (ms, first_ms / ms))
    times = dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "mean_ms"), exact)
    verdict = "faster" if ratio.value > 1 else "slower" if ratio.value < 1 else "no difference shown"
    return Latency(**times, ratio=ratio, verdict=verdict, sittings_ms=(ms,), calls=1, openings=1, warm_up_calls=0)


@pytest.fixture(scope="module")
def foreseen_times(kept_aside: Aside) -> Iterator[list[int]]:
    """An int8 file takes 1 ms, a float one 3 ms, every float layer 0.1 ms; how many were timed, call by call."""
    asked: list[int] = []
    times_ms: dict[Path, float] = {}
    exported = Gauge.exported

    def remembered(self: Gauge, model: Model) -> Artifact:
        artifact = exported(self, model)
        floats = model.blueprint.floats if isinstance(model.blueprint, Quantized) else ("all",) * 20
        times_ms[artifact.folder] = 1 + 0.1 * len(floats)
        return artifact

    def latencies(self: Gauge, artifacts: Sequence[Artifact], progress: Progress = silent) -> tuple[Latency, ...]:
        asked.append(len(artifacts))
        found = [times_ms[artifact.folder] for artifact in artifacts]
        return tuple(latency(ms, found[0]) for ms in found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gauge, "exported", remembered)
        patch.setattr(Gauge, "latencies", latencies)
        patch.setattr(mixed_precision, "Gauge", partial(Gauge, _aside=kept_aside))
        yield asked
