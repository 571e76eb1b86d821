"""The promises of the ruler: does it tell the truth, agree with itself, stay out of the way, and finish in time?

    EDGEWRIGHT_DATA=DATA python -m benchmarks.measuring

The self-test; the harness around a call of exactly one millisecond, and around a network of about one;
the suite ``quick`` timed five times; the twelve variants of ``mobile`` on three runtimes. Suites that were run
before are only timed. Prints each figure beside its promise, writes them to
``benchmarks/results/<machine>/measuring-<part>.json``, and exits 1 where one is not kept. Takes half an
hour, and wants an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.figure import Figure, tell
from benchmarks.machine import keep
from benchmarks.suite import run_suite
from pipeline.measure.latency import Timer, measure_latency, timer
from pipeline.progress import shown
from pipeline.study import Benchmark

if TYPE_CHECKING:
    from pipeline.results import Interval, Results

COMMAND = "python -m benchmarks.measuring"
MILLISECOND_S = 1e-3
RUNS = 5


def self_test_figures() -> Iterator[Figure]:
    """``edgewright bench --self-test``."""
    from pipeline.self_test import self_test

    with shown(Console(stderr=True), "self-test") as progress:
        found = self_test(progress=progress)
    share = 100 / found.trials
    yield Figure(f"{found.trials} × equal variants: called faster, per cent", share * found.faster, 5)
    yield Figure(f"{found.trials} × slowed by 10 %: found, per cent", share * found.found, 95, at_least=True)
    yield Figure(f"{found.trials} × beside a busy process: unstable, %", share * found.unstable, 95, at_least=True)
    yield Figure("self-test, seconds", found.seconds, 600)


def overhead_figures() -> Iterator[Figure]:
    """What the harness adds to a call."""
    exact = measure_latency([lambda: timer(one_millisecond)], Benchmark(seconds=5, sittings=8))
    p50_ms = statistics.median(exact.ms_SRVC().ravel().tolist())
    yield Figure("harness around exactly 1 ms: added to the median, per cent", 100 * (p50_ms - 1), 1)
    ratio = beside_a_bare_loop()
    told = f"[{100 * (ratio.low - 1):.2f}, {100 * (ratio.high - 1):.2f}]"
    yield Figure(f"harness around MobileNetV2 at 64 pixels, per cent {told}", 100 * (ratio.value - 1), 1)


def one_millisecond() -> None:
    end = time.perf_counter() + MILLISECOND_S
    while time.perf_counter() < end:
        pass


def beside_a_bare_loop() -> Interval:
    """Time of a call as the harness tells it / as a bare loop over the same runtime does."""
    import onnxruntime

    from pipeline.runtimes.onnx_runtime import OnnxRuntime
    from pipeline.self_test import small_network

    with tempfile.TemporaryDirectory() as folder:
        artifact = small_network(Path(folder))
        x_1CHW = artifact.manifest.input.normalize(artifact.probe().fitted_NHWC[:1])

        def ours() -> Timer:
            session = OnnxRuntime().open(artifact, 1)
            return averaged(timer(lambda: session(x_1CHW)))

        def bare() -> Timer:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            session = onnxruntime.InferenceSession(artifact.path, options, providers=["CPUExecutionProvider"])
            [name] = [value.name for value in session.get_inputs()]
            return partial(looped, lambda: session.run(None, {name: x_1CHW}))

        timings = measure_latency([ours, bare], Benchmark(seconds=60, precision=0.004, calls=10, sittings=200))
    return timings.ratio(0, 1)


def averaged(timed: Timer) -> Timer:
    """A timer that tells the mean of its calls, as a loop does: a median would leave out what is slow."""

    def mean(calls: int) -> list[float]:
        return [sum(timed(calls)) / calls] * calls

    return mean


def looped(call: Callable[[], object], calls: int) -> list[float]:
    """A loop with one clock around it."""
    start = time.perf_counter_ns()
    for _ in range(calls):
        call()
    return [(time.perf_counter_ns() - start) / 1e6 / calls] * calls


def agreement_figures() -> Iterator[Figure]:
    """The suite ``quick``, timed again and again; every run is compared with the one before it."""
    first = run_suite("quick")
    keep("quick", first)
    # Another limit is another key: everything but latency is found in the store.
    limits = (first.benchmark["seconds"] + extra for extra in range(1, RUNS))
    runs = [first, *(run_suite("quick", "--set", f"benchmark.seconds={limit}") for limit in limits)]
    agreed = [agree(a, b) for one, next_ in pairwise(runs) for a, b in zip(pairs(one), pairs(next_), strict=True)]
    share = 100 * sum(agreed) / len(agreed)
    yield Figure(
        f"{RUNS} runs of quick: {len(agreed)} ratios that agree with the run before, %", share, 95, at_least=True
    )


def pairs(results: Results) -> Iterator[tuple[float, float]]:
    """Logarithm of the ratio of every two variants' speeds, with the half-width of its interval."""
    others = [variant for index, variant in enumerate(results.variants) if index != results.reference]
    logs = [_log(variant.latency.ratio) for variant in others]
    yield from logs
    for (a, half_a), (b, half_b) in combinations(logs, 2):
        yield a - b, math.hypot(half_a, half_b)


def _log(ratio: Interval) -> tuple[float, float]:
    return math.log(ratio.value), math.log(ratio.high / ratio.value)


def agree(first: tuple[float, float], second: tuple[float, float]) -> bool:
    """Whether the two differ by no more than the intervals of both allow."""
    return abs(first[0] - second[0]) <= math.hypot(first[1], second[1])


def mobile_figures() -> Iterator[Figure]:
    """Twelve variants on three runtimes."""
    results = run_suite("mobile")
    keep("mobile", results)
    seen = results.conditions
    yield Figure(f"mobile: {len(results.variants)} variants measured, seconds", seen.seconds, 600)
    yield Figure("mobile: widest interval of a ratio, ± per cent", 100 * seen.precision, 3)


PARTS = {
    "self-test": self_test_figures,
    "overhead": overhead_figures,
    "agreement": agreement_figures,
    "mobile": mobile_figures,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; all unless given")
    parts = parser.parse_args().parts or list(PARTS)
    return max([tell(f"measuring-{part}", f"{COMMAND} {part}", list(PARTS[part]())) for part in parts])


if __name__ == "__main__":
    sys.exit(main())
