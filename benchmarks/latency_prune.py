"""Aimed at milliseconds: where MobileNetV2 lands that was pruned to a share of its latency.

    EDGEWRIGHT_DATA=DATA python -m benchmarks.latency_prune [--targets 0.75 0.5] [--precisions float int8]

The trained MobileNetV2 at 224 pixels in ONNX Runtime, one thread. What comes out is measured once more beside the
original, in sittings that the aim knew nothing of. Prints each figure beside its promise, writes them to
``benchmarks/results/<machine>/latency-prune.json``, and exits 1 where one is not kept. Wants an otherwise idle
machine: half a minute for a table of layers, and a minute or two for each target.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.figure import Figure, tell
from pipeline.data._root import CACHE
from pipeline.progress import shown
from pipeline.study import Benchmark

if TYPE_CHECKING:
    from pipeline.model import Model
    from pipeline.results import Interval
    from pipeline.stage import Context
    from pipeline.tuners.latency_prune import LatencyPrune

COMMAND = "python -m benchmarks.latency_prune"
WITHIN = 5.0  # per cent of the target


def network() -> tuple[Model, Context]:
    """MobileNetV2 with weights that others trained on ImageNet, and images for it."""
    from benchmarks.peers.order import default_models
    from pipeline.dataset import read_source
    from pipeline.stage import Context

    data = read_source("imagenet").load()
    model = default_models(data)["MobileNetV2"]
    return model, Context(data.splits.normalized_as(model.spec))


def table_figure(model: Model, context: Context, stage: LatencyPrune) -> Figure:
    """How long the layers take to be timed on a machine that remembers none."""
    from pipeline.tuners._prunable import Prunable
    from pipeline.tuners._timed_layers import timed_layers

    layers = Prunable.of(model, stage.importance, stage.round_to, context).layers
    with shown(Console(stderr=True), f"layers in {stage.precision}") as progress:
        start = time.monotonic()
        timed_layers(layers, stage.round_to, stage.bench, progress)
    return Figure(f"MobileNetV2 {stage.precision}: table of layers, seconds", time.monotonic() - start, 180)


def aimed(model: Model, context: Context, stage: LatencyPrune, benchmark: Benchmark) -> Iterator[Figure]:
    """Where one aim lands."""
    start = time.monotonic()
    pruned = stage(model, context)
    seconds, speed = time.monotonic() - start, measured_again((model, pruned), context, stage, benchmark)
    share, target = 100 / speed.value, 100 * (stage.target_ratio or 1)
    told = f"{share:.1f} % [{100 / speed.high:.1f}, {100 / speed.low:.1f}]"
    name = f"MobileNetV2 {stage.precision}, target {target:g} %"
    yield Figure(f"{name}: takes {told}: off by per cent", 100 * abs(share / target - 1), WITHIN)
    yield Figure(f"{name}: aiming, seconds", seconds, 600)


def measured_again(
    models: tuple[Model, Model], context: Context, stage: LatencyPrune, benchmark: Benchmark
) -> Interval:
    """The first one's latency / the second one's."""
    from pipeline.tuners._measured import measured

    return measured([stage.as_timed(model, context) for model in models], stage.runtime, context, benchmark)[1].ratio


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--targets", type=float, nargs="+", default=[0.75, 0.5], metavar="SHARE")
    parser.add_argument("--precisions", nargs="+", default=["float", "int8"], choices=["float", "int8"])
    parser.add_argument("--seconds", type=float, default=30.0, help="of the last measurement")
    asked = parser.parse_args()
    from pipeline.tuners.latency_prune import LatencyPrune

    benchmark = Benchmark(seconds=asked.seconds, precision=0.01, cold_starts=0)
    figures = []
    with tempfile.TemporaryDirectory(prefix="edgewright-latency-prune-") as cache:
        os.environ[CACHE] = cache  # so that nothing is remembered
        model, context = network()
        for precision in asked.precisions:
            stages = [LatencyPrune(target_ratio=target, precision=precision) for target in asked.targets]
            figures.append(table_figure(model, context, stages[0]))
            for stage in stages:
                figures += aimed(model, context, stage, benchmark)
    return tell("latency-prune", COMMAND, figures)


if __name__ == "__main__":
    sys.exit(main())
