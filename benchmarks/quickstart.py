"""The promises of ``edgewright run quickstart``, measured as a user would meet them.

    python -m benchmarks.quickstart [--out FOLDER]

Starts the real command in fresh processes: once from nothing, once with nothing changed, once
with only the benchmark's settings changed, and ``--help`` ten times. Prints each figure beside
its promise, writes them and the run's results to ``benchmarks/results/<machine>/``, and exits 1
if a promise is not kept. Takes about five minutes; run it on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figure import Figure, tell
from benchmarks.machine import keep
from pipeline.results import Results, read_results

STUDY = "quickstart"


def seconds_of(*arguments: str) -> float:
    """Wall-clock seconds of one ``edgewright`` command in a process of its own."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "pipeline.cli", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def ran(results: Results) -> list[str]:
    """Labels of the stages that were done in that run, not found in the store."""
    return [stage.label for stage in results.stages if stage.status == "done"]


def measure(out: Path) -> tuple[list[Figure], Results]:
    """Every figure, and the results of the first run."""
    first = seconds_of("run", STUDY, "--out", str(out))
    results = read_results(out)
    again = seconds_of("run", STUDY, "--out", str(out))
    rerun = ran(read_results(out))
    seconds_of("run", STUDY, "--out", str(out), "--set", "benchmark.rounds=4")
    remeasured = ran(read_results(out))
    help_s = statistics.median(seconds_of("--help") for _ in range(10))
    figures = [
        Figure("first run, seconds", first, 300),
        Figure("run again with nothing changed, seconds", again, 5),
        Figure("run again: stages that were done, not cached", len(rerun), 0),
        Figure("only benchmark changed: stages done besides latency", len(remeasured) - 1, 0),
        Figure("--help, seconds (median of 10)", help_s, 0.5),
        *accuracy(results),
    ]
    return figures, results


def accuracy(results: Results) -> list[Figure]:
    """The least accurate float variant, and the most that int8 lost against its float parent."""
    float_top1 = [100 * variant.top1.value for variant in results.variants if not variant.integer]
    by_place = {(variant.recipe, variant.runtime): variant for variant in results.variants}
    losses = [
        100 * (by_place[variant.parent, variant.runtime].top1.value - variant.top1.value)
        for variant in results.variants
        if variant.integer
    ]
    return [
        Figure("top-1 of the least accurate float variant, per cent", min(float_top1), 97, at_least=True),
        Figure("top-1 lost by the worst int8 variant, points", max(losses), 1),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, help="an empty folder to keep; a temporary one unless given")
    out = parser.parse_args().out
    print(f"load before the start: {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as temporary:
        figures, results = measure(out or Path(temporary) / STUDY)
    keep(STUDY, results)
    return tell(STUDY, "python -m benchmarks.quickstart", figures)


if __name__ == "__main__":
    sys.exit(main())
