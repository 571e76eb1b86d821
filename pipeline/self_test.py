"""``edgewright bench --self-test``: whether the ruler, on this machine, tells the truth."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import Artifact
from pipeline.aside import Aside
from pipeline.dataset import Samples, Splits
from pipeline.exporters.onnx import ExportOnnx
from pipeline.images import Held
from pipeline.measure.latency import Timer, measure_latency, timer
from pipeline.measure.timings import Timings, verdict
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.progress import Progress, silent
from pipeline.results import Interval
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.spec import InputSpec, Value
from pipeline.stage import Context
from pipeline.study import Benchmark

if TYPE_CHECKING:
    from pipeline.runtime import Session

EDGE = 64  # a MobileNetV2 of this size takes a millisecond
SLOWDOWN = 1.10
MOST_FALSE, LEAST_FOUND = 0.05, 0.95
QUIET = Benchmark(seconds=6.0, precision=0.03, cold_starts=0)
BUSY = Benchmark(seconds=1.5, precision=0.03, cold_starts=0)


class SelfTest(Value):
    """What the ruler said of differences that are known.

    Attributes:
        trials: of each kind. faster, slower: how often one of two equal variants was called so.
        found: how often the variant that is slower by a tenth was called slower.
        disturbed: trials on the quiet machine that were called unstable, and so claim nothing.
        unstable: trials beside a busy process that were called unstable.
        twins: ratio of the equal variants, by trial. planted: of the slowed one.
    """

    trials: int
    faster: int
    slower: int
    found: int
    disturbed: int
    unstable: int
    seconds: float
    twins: tuple[Interval, ...]
    planted: tuple[Interval, ...]

    @property
    def passed(self) -> bool:
        honest = max(self.faster, self.slower) <= MOST_FALSE * self.trials
        return honest and min(self.found, self.unstable) >= LEAST_FOUND * self.trials

    def text(self) -> str:
        """The three findings, each beside what it has to reach."""
        lines = [
            f"equal variants called faster: {self.faster} of {self.trials} (at most {MOST_FALSE:.0%})",
            f"equal variants called slower: {self.slower} of {self.trials} (at most {MOST_FALSE:.0%})",
            f"planted slowdown of 10 % found: {self.found} of {self.trials} (at least {LEAST_FOUND:.0%})",
            f"called unstable beside a busy process: {self.unstable} of {self.trials} (at least {LEAST_FOUND:.0%})",
            f"called unstable otherwise, and nothing claimed: {self.disturbed} of {self.trials}",
            f"took {self.seconds:.0f} s: {'passed' if self.passed else 'FAILED'}",
        ]
        return "\n".join(lines)


def self_test(trials: int = 50, progress: Progress = silent) -> SelfTest:
    """Time a network against itself and against itself slowed by a tenth, then beside a busy process."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Aside() as aside:
        artifact = small_network(Path(folder))

        def told(offset: int) -> Progress:
            return lambda done, total, note="": progress(offset + done, 2 * total, note)

        quiet = aside.do(many_trials, artifact, QUIET, trials, progress=told(0))
        with busy_process():
            busy = aside.do(many_trials, artifact, BUSY, trials, progress=told(trials))
    calm = [timings for timings in quiet if not timings.unstable]
    verdicts = [verdict(timings.ratio(0, 1)) for timings in calm]
    return SelfTest(
        trials=trials,
        faster=verdicts.count("faster"),
        slower=verdicts.count("slower"),
        found=sum(verdict(timings.ratio(0, 2)) == "slower" for timings in calm),
        disturbed=len(quiet) - len(calm),
        unstable=sum(bool(timings.unstable) for timings in busy),
        seconds=round(time.monotonic() - start, 1),
        twins=tuple(timings.ratio(0, 1) for timings in quiet),
        planted=tuple(timings.ratio(0, 2) for timings in quiet),
    )


def many_trials(artifact: Artifact, benchmark: Benchmark, trials: int, progress: Progress) -> list[Timings]:
    """In the process aside: the same file twice, and once slowed, so many times."""
    runtime = OnnxRuntime()
    spec = artifact.manifest.input
    x_1CHW = spec.normalize(artifact.probe().fitted_NHWC[:1])

    def opened(factor: float) -> Timer:
        session = runtime.open(artifact, benchmark.threads)
        return timer(lambda: slowed(session, factor)(x_1CHW))

    found = []
    for trial in range(trials):
        openers = [lambda: opened(1.0), lambda: opened(1.0), lambda: opened(SLOWDOWN)]
        found.append(measure_latency(openers, benchmark, seed=trial))
        progress(trial + 1, trials)
    return found


def slowed(session: Session, factor: float) -> Session:
    """The session, taking ``factor`` times as long."""

    def slow(x_NCHW):  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        answer = session(x_NCHW)
        end = start + factor * (time.perf_counter() - start)
        while time.perf_counter() < end:
            pass
        return answer

    return session if factor == 1 else slow


@contextmanager
def busy_process() -> Iterator[None]:
    """A second process that uses a whole core."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def small_network(folder: Path) -> Artifact:
    """An untrained MobileNetV2 as an ONNX file: how fast it is does not depend on its weights."""
    import numpy as np

    images_NHWC = np.random.default_rng(0).integers(0, 256, (8, EDGE, EDGE, 3), dtype=np.uint8)
    spec = InputSpec(size=(EDGE, EDGE), resize=EDGE)
    part = Samples(Held(images_NHWC), np.arange(8) % 2, spec)
    context = Context(Splits(part, part, part, ("one", "other"), spec))
    ExportOnnx()(MobileNetV2()(None, context), context).save(folder)
    return Artifact.load(folder)
