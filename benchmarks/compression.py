"""The promises of compression: accuracy lost beside what was won, on real data sets.

    EDGEWRIGHT_DATA=DATA python -m benchmarks.compression mnist

Runs ``suites/compression-NAME.yaml`` as ``benchmarks.suite`` does: finished stages are kept, and a
run that was stopped goes on. Prints each figure beside its promise, writes them to
``benchmarks/results/<machine>/compression-NAME.json`` and all results beside it, and exits 1 if a
promise is not kept. A loss has the 95 % interval of a paired bootstrap over test images.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.figure import Figure, tell
from benchmarks.machine import keep
from benchmarks.suite import run_suite
from benchmarks.tables import write_tables
from pipeline.measure.statistics import paired_difference
from pipeline.predictions import Predictions
from pipeline.results import Results

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUNTIME = "onnxruntime"


class Promise(NamedTuple):
    """What a recipe's model in ONNX Runtime may lose against another recipe's, and must win.

    Attributes:
        against: the recipe; where it is the study's reference, on the reference's runtime.
        lost: points of top-1 at most.
        equal: besides, the loss must not be distinguishable from zero.
        macs, size: times fewer multiply-adds and bytes, at least; 0 promises nothing.
        speed: times faster than the study's reference, at least; 0 promises nothing.
    """

    recipe: str
    against: str
    lost: float
    equal: bool = False
    macs: float = 0.0
    speed: float = 0.0
    size: float = 0.0


PROMISES: dict[str, tuple[Promise, ...]] = {
    "cifar10-int8": (
        Promise("resnet56-int8", "resnet56", 0.3, equal=True),
        Promise("resnet20-int8", "resnet20", 0.3, equal=True),
    ),
    "cifar10": (Promise("resnet56-pruned", "resnet56", 0.5, macs=2.0),),
    "cifar10-mobilenet_v3": (
        Promise("mobilenet_v3_small-int8", "mobilenet_v3_small", 1.0),
        Promise("mobilenet_v3_small-qat", "mobilenet_v3_small", 1.0, equal=True),
        Promise("mobilenet_v3_large-int8", "mobilenet_v3_large", 0.8),
        Promise("mobilenet_v3_large-qat", "mobilenet_v3_large", 0.8, equal=True),
    ),
    "mnist": (
        Promise("resnet18-pruned", "resnet18", 0.5, macs=3.0),
        Promise("mobilenet_v2-int8", "resnet18", 0.5, speed=20.0, size=25.0),
    ),
    "cats-dogs-int8": (
        Promise("mobilenet_v2-int8", "mobilenet_v2", 0.5),
        Promise("mobilenet_v2-qat", "mobilenet_v2", 0.5, equal=True),
        Promise("efficientnet_lite0-int8", "efficientnet_lite0", 0.5),
        Promise("efficientnet_lite0-qat", "efficientnet_lite0", 0.5, equal=True),
    ),
    "cats-dogs": (Promise("mobilenet_v2-pruned", "mobilenet_v2", 0.5, macs=2.0, speed=1.6),),
}


def figures(results: Results, predictions: Predictions, promises: tuple[Promise, ...]) -> Iterator[Figure]:
    """Every promise beside what the run found."""
    for promise in promises:
        old, new = (index_of(results, name) for name in (promise.against, promise.recipe))
        yield from losses(promise, predictions.right_N(old), predictions.right_N(new))
        before, after = results.variants[old], results.variants[new]
        name = f"{promise.recipe} against {promise.against}: times"
        if promise.macs:
            yield Figure(f"{name} fewer multiply-adds", before.macs / after.macs, promise.macs, at_least=True)
        if promise.size:
            yield Figure(f"{name} fewer bytes", before.file_bytes / after.file_bytes, promise.size, at_least=True)
        if promise.speed:
            ratio = after.latency.ratio
            doubt = f"[{ratio.low:.2f}, {ratio.high:.2f}], {after.latency.verdict}"
            yield Figure(f"{name} faster {doubt}", ratio.value, promise.speed, at_least=True)


def losses(promise: Promise, old_N: NDArray[np.bool_], new_N: NDArray[np.bool_]) -> Iterator[Figure]:
    """Points of top-1 lost, and whether they might be none."""
    found = paired_difference(old_N, new_N).difference
    low, high = -100 * found.high, -100 * found.low
    name = f"{promise.recipe} against {promise.against}: points lost"
    tops = f"{100 * old_N.mean():.2f} → {100 * new_N.mean():.2f} %, {len(old_N):,} images"
    yield Figure(f"{name} [{low:+.2f}, {high:+.2f}], {tops}", -100 * found.value, promise.lost)
    if promise.equal:
        yield Figure(f"{name}, lower end of the interval", low, 0.0)


def index_of(results: Results, recipe: str) -> int:
    """The reference variant where it is that recipe's, else the recipe's in ONNX Runtime."""
    if results.variants[results.reference].recipe == recipe:
        return results.reference
    return next(i for i, v in enumerate(results.variants) if (v.recipe, v.runtime) == (recipe, RUNTIME))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("name", choices=sorted(PROMISES))
    given, options = parser.parse_known_args()
    suite = f"compression-{given.name}"
    try:
        results = run_suite(suite, *options)
    except subprocess.CalledProcessError as error:
        return error.returncode
    predictions = Predictions.load(Path("exported") / results.study)
    assert predictions is not None, "a run that ends keeps its answers"
    keep(suite, results)
    command = f"python -m benchmarks.compression {given.name}"
    code = tell(suite, command, list(figures(results, predictions, PROMISES[given.name])))
    write_tables()
    return code


if __name__ == "__main__":
    sys.exit(main())
