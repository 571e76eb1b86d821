"""The promises of training: accuracy on real data sets, and the time it took.

    EDGEWRIGHT_DATA=DATA python -m benchmarks.training mnist cats_dogs cifar10

Runs each study with the real command in a fresh folder, prints each figure beside its promise,
writes them to ``benchmarks/results/<machine>/training-<study>.json``, and exits 1 if a promise
is not kept. ``cifar10`` takes about an hour on two cores, on an otherwise idle machine and with
``--processes 2``: two processes of one thread wait less for each other than two threads.
The GPU's studies, ``suites/cifar10-gpu.yaml`` and its promises, take ``--device cuda``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.figure import Figure, tell
from pipeline.results import Results, read_results

SUITES = Path(__file__).parent / "suites"


class Promise(NamedTuple):
    """What a recipe's float model must reach on the test images, and in which time.

    Attributes:
        top1: at least so many per cent.
        seconds: all of its training stages together take at most so long; 0 promises nothing.
        params: at most so many; 0 promises nothing.
    """

    recipe: str
    top1: float
    seconds: float = 0.0
    params: float = 0.0


PROMISES: dict[str, tuple[Promise, ...]] = {
    "mnist": (Promise("dense", 98.3), Promise("cnn", 99.3)),
    "cats_dogs": (Promise("efficientnet_lite0", 98.5, seconds=180),),
    "cifar10": (Promise("mobilenet_v2", 82.0, seconds=3600),),
    "cifar10-gpu": (
        Promise("resnet18-short", 94.0, seconds=10),
        Promise("resnet18", 96.0, seconds=90),
        Promise("mobilenet_v2", 95.5, params=2.3e6),
        Promise("mobilenet_v2-distilled", 96.0, params=2.3e6),
    ),
}


def figures(results: Results) -> list[Figure]:
    """Every promise of a study beside what its run found."""
    found = []
    for promise in PROMISES[results.study]:
        [variant, *_] = [v for v in results.variants if v.recipe == promise.recipe]
        top1 = variant.top1
        doubt = f"[{100 * top1.low:.2f}, {100 * top1.high:.2f}]"
        name = f"{promise.recipe}: top-1 on {variant.images:,} test images, per cent {doubt}"
        found.append(Figure(name, 100 * top1.value, promise.top1, at_least=True))
        if promise.seconds:
            seconds = training_seconds(results, promise.recipe)
            found.append(Figure(f"{promise.recipe}: seconds of training", seconds, promise.seconds))
        if promise.params:
            found.append(Figure(f"{promise.recipe}: parameters", variant.params, promise.params))
    return found


def training_seconds(results: Results, recipe: str) -> float:
    """Time of the stages that made the recipe's model; nothing that was exported or measured."""
    return sum(stage.seconds for stage in results.stages if stage.recipe == recipe and "validation_top1" in stage.facts)


def measure(study: str, arguments: Sequence[str], processes: int) -> Results:
    """Run a study from nothing; its results."""
    given = str(SUITES / f"{study}.yaml") if (SUITES / f"{study}.yaml").is_file() else study
    with tempfile.TemporaryDirectory() as folder:
        command = [*starter(processes), "pipeline", "run", given, "--out", folder, *arguments]
        # 1 says that nothing fits the study's budget: the figures are there all the same.
        code = subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode
        if code not in (0, 1):
            sys.exit(code)
        return read_results(Path(folder))


def starter(processes: int) -> list[str]:
    """The beginning of a command that runs a module in one or several processes."""
    several = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    return [sys.executable, "-m", *(several if processes > 1 else [])]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("studies", nargs="+", choices=sorted(PROMISES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processes", type=int, default=1, help="that train together")
    parser.add_argument("--weights", help="a file in place of the published weights")
    given = parser.parse_args()
    arguments = ["--device", given.device, *(["--weights", given.weights] if given.weights else [])]
    codes = []
    for study in given.studies:
        results = measure(study, arguments, given.processes)
        command = f"python -m benchmarks.training {study} --device {given.device} --processes {given.processes}"
        codes.append(tell(f"training-{study}", command, figures(results)))
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
