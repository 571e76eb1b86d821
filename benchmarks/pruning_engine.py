"""Every family with half of its channels gone: does it run everywhere, answer alike, and is it not slower?

    EDGEWRIGHT_DATA=DATA python -m benchmarks.pruning_engine [FAMILY…]

Each family with random weights, whole and pruned, as files in PyTorch, TorchScript and ONNX Runtime, float and
int8. A file that does not answer as its module did is refused by the check every hand-off has, and is told as
such. Both files are timed in the same sittings, one thread, one image a call. Prints each figure beside its
promise, writes them to ``benchmarks/results/<machine>/pruning-engine.json``, and exits 1 where one is not kept.
Takes half an hour on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.figure import Figure, tell
from benchmarks.untrained import untrained
from pipeline.dataset import read_source
from pipeline.errors import ParityMiss
from pipeline.measure.size import count_macs
from pipeline.pruners.structured import Prune
from pipeline.quantizers.post_training import PostTraining
from pipeline.stage import Context
from pipeline.study import Benchmark
from pipeline.tuners._measured import Gauge

if TYPE_CHECKING:
    from pipeline.dataset import DataSet
    from pipeline.model import Model
    from pipeline.models.architecture import Architecture
    from pipeline.runtime import Runtime

COMMAND = "python -m benchmarks.pruning_engine"
RATIO = 0.5
IMAGES = 32
ENGINE_SECONDS = 5.0


class Subject(NamedTuple):
    """A family, and the data set whose images it takes."""

    family: Architecture
    data: str


def subjects() -> dict[str, Subject]:
    """One network of every family; VGG in its form for small images, as the other one is 15 GMACs."""
    from pipeline.models.dense import Dense
    from pipeline.models.efficientnet_lite import EfficientNetLite0
    from pipeline.models.lenet import LeNet
    from pipeline.models.mobilenet_v2 import MobileNetV2
    from pipeline.models.mobilenet_v3 import MobileNetV3
    from pipeline.models.mobilenet_v4 import MobileNetV4
    from pipeline.models.resnet import CifarResNet, ResNet18, ResNet50
    from pipeline.models.shufflenet_v2 import ShuffleNetV2
    from pipeline.models.vgg import VGG

    return {
        "Dense": Subject(Dense(), "mnist"),
        "LeNet": Subject(LeNet(), "mnist"),
        "VGG-16": Subject(VGG(small=True), "cifar10"),
        "ResNet-56": Subject(CifarResNet(depth=56), "cifar10"),
        "ResNet-18": Subject(ResNet18(), "imagenet"),
        "ResNet-50": Subject(ResNet50(), "imagenet"),
        "MobileNetV2": Subject(MobileNetV2(), "imagenet"),
        "MobileNetV3-Small": Subject(MobileNetV3(size="small"), "imagenet"),
        "MobileNetV3-Large": Subject(MobileNetV3(size="large"), "imagenet"),
        "MobileNetV4": Subject(MobileNetV4(), "imagenet"),
        "EfficientNet-Lite0": Subject(EfficientNetLite0(), "imagenet"),
        "ShuffleNetV2": Subject(ShuffleNetV2(), "imagenet"),
    }


def runtimes() -> dict[str, Runtime]:
    """Where each pruned network must run."""
    from pipeline.runtimes.eager import Eager
    from pipeline.runtimes.onnx_runtime import OnnxRuntime
    from pipeline.runtimes.torchscript import TorchScript

    return {"PyTorch": Eager(), "TorchScript": TorchScript(), "ONNX Runtime": OnnxRuntime()}


def figures(name: str, subject: Subject, data: DataSet, benchmark: Benchmark) -> Iterator[Figure]:
    """Of one family: how much work is gone, and for every runtime and precision how much faster that is."""
    whole = untrained(subject.family, data)
    context = few_images(data, whole)
    pruned = Prune(ratio=RATIO)(whole, context)
    before, after = (count_macs(model.blueprint, model.spec) for model in (whole, pruned))
    yield Figure(f"{name}: times fewer multiply-adds", before / after, 1.0, at_least=True)
    int8 = PostTraining(rounding="nearest", correct_bias=False)
    pairs = {"float": (whole, pruned), "int8": (int8(whole, context), int8(pruned, context))}
    for (precision, pair), (title, runtime) in product(pairs.items(), runtimes().items()):
        yield faster(f"{name}, {title}, {precision}", pair, runtime, context, benchmark)


def few_images(data: DataSet, model: Model) -> Context:
    """Enough images for ranges and probes, which have no say in how fast a file is."""
    splits = data.splits.normalized_as(model.spec)
    few = {part: getattr(splits, part).take(np.arange(IMAGES)) for part in ("calibration", "validation")}
    return Context(replace(splits, **few))


def faster(name: str, pair: tuple[Model, Model], runtime: Runtime, context: Context, benchmark: Benchmark) -> Figure:
    """The second of a pair against the first, once both have answered as their modules do; 0 if one does not."""
    with Gauge(runtime, context, benchmark) as gauge:
        files = [gauge.exported(model) for model in pair]
        try:
            for file in files:
                gauge.logits_NK(file, context.data.validation)
        except ParityMiss as miss:
            return Figure(f"{name}: {miss.cause}", 0.0, 1.0, at_least=True)
        ratio = gauge.latencies(files)[1].ratio
    return Figure(f"{name}: times faster [{ratio.low:.2f}, {ratio.high:.2f}]", ratio.value, 1.0, at_least=True)


def engine() -> Figure:
    """ResNet-50: groups found, channels scored and chosen, tensors cut, network built again, on one core."""
    import torch

    from pipeline.models.resnet import ResNet50

    torch.set_num_threads(1)
    context = Context(read_source("imagenet").load().splits)
    model = ResNet50()(None, context)
    start = time.perf_counter()
    Prune(ratio=RATIO)(model, context)
    return Figure("ResNet-50: seconds of groups and surgery", time.perf_counter() - start, ENGINE_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(subjects())}; all unless given")
    parser.add_argument("--seconds", type=float, default=6.0, help="to time a file and its pruned twin")
    asked = parser.parse_args()
    benchmark = Benchmark(seconds=asked.seconds, precision=0.02, cold_starts=0)
    sources = {name: read_source(name).load() for name in {subject.data for subject in subjects().values()}}
    kept = [engine()]
    for name in asked.families or subjects():
        subject = subjects()[name]
        for figure in figures(name, subject, sources[subject.data], benchmark):
            print(figure.line(), flush=True)
            kept.append(figure)
    return tell("pruning-engine", COMMAND, kept)


if __name__ == "__main__":
    sys.exit(main())
