"""Every family with half of its channels gone: does it run everywhere, answer alike, and is it not slower?

    python -m benchmarks.pruning_engine [FAMILY…]

Each family is trained on digits of 64 pixels, or of 32 where it is made for small images, and again when it is
pruned, a minute each: networks with random weights amplify single roundings until int8 kernels answer at random.
Both are written as files for PyTorch, TorchScript and ONNX Runtime, float and int8. A file that does not answer as its
module did is refused by the check every hand-off has, and is told as such. Both files are timed in the same sittings,
one thread, one image a call. Prints each figure beside its promise, writes them to
``benchmarks/results/<machine>/pruning-engine.json``, and exits 1 where one is not kept. Takes half an hour on an
otherwise idle machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.figure import Figure, tell
from pipeline.data.digits import Digits
from pipeline.errors import StageFailed
from pipeline.measure.size import count_macs
from pipeline.pruners.structured import Prune
from pipeline.quantizers.post_training import PostTraining
from pipeline.stage import Context
from pipeline.study import Benchmark
from pipeline.trainers.supervised import Train
from pipeline.tuners._measured import Gauge

if TYPE_CHECKING:
    from pipeline.dataset import DataSet
    from pipeline.model import Model
    from pipeline.models.architecture import Architecture
    from pipeline.runtime import Runtime

COMMAND = "python -m benchmarks.pruning_engine"
RATIO = 0.5
IMAGES = 32
EDGE = 64  # pixels
SMALL, SMALL_EDGE = ("Dense", "LeNet", "VGG-16", "ResNet-56"), 32  # families for small images
TRAINING = Train(epochs=4, batch=32, optimizer="adamw", lr=0.002, weight_decay=0.05)
ENGINE_SECONDS = 5.0


def families() -> dict[str, Architecture]:
    """One network of every family; VGG in its form for small images."""
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
        "Dense": Dense(),
        "LeNet": LeNet(),
        "VGG-16": VGG(small=True),
        "ResNet-56": CifarResNet(depth=56),
        "ResNet-18": ResNet18(),
        "ResNet-50": ResNet50(),
        "MobileNetV2": MobileNetV2(),
        "MobileNetV3-Small": MobileNetV3(size="small"),
        "MobileNetV3-Large": MobileNetV3(size="large"),
        "MobileNetV4": MobileNetV4(),
        "EfficientNet-Lite0": EfficientNetLite0(),
        "ShuffleNetV2": ShuffleNetV2(),
    }


def runtimes() -> dict[str, Runtime]:
    """Where each pruned network must run."""
    from pipeline.runtimes.eager import Eager
    from pipeline.runtimes.onnx_runtime import OnnxRuntime
    from pipeline.runtimes.torchscript import TorchScript

    return {"PyTorch": Eager(), "TorchScript": TorchScript(), "ONNX Runtime": OnnxRuntime()}


def figures(name: str, family: Architecture, data: DataSet, benchmark: Benchmark) -> Iterator[Figure]:
    """Of one family: how much work is gone, and for every runtime and precision how much faster that is."""
    context = Context(data.splits)
    whole = TRAINING(family(None, context), context)
    pruned = TRAINING(Prune(ratio=RATIO)(whole, context), context)
    before, after = (count_macs(model.blueprint, model.spec) for model in (whole, pruned))
    tops = " → ".join(f"{top1(model, data):.1f}" for model in (whole, pruned))
    yield Figure(f"{name}, {tops} % of digits: times fewer multiply-adds", before / after, 1.0, at_least=True)
    int8 = PostTraining(rounding="nearest", correct_bias=False)
    pairs = {"float": (whole, pruned), "int8": (int8(whole, context), int8(pruned, context))}
    for (precision, pair), (title, runtime) in product(pairs.items(), runtimes().items()):
        yield faster(f"{name}, {title}, {precision}", pair, runtime, few_images(context), benchmark)


def top1(model: Model, data: DataSet) -> float:
    """Per cent of test images."""
    test = data.test.normalized_as(model.spec)
    return 100 * float((model.logits_NK(test.x_NCHW()).argmax(1) == test.labels_N).mean())


def few_images(context: Context) -> Context:
    """As many as parity is judged by."""
    splits = context.data
    few = {part: getattr(splits, part).take(np.arange(IMAGES)) for part in ("calibration", "validation")}
    return Context(replace(splits, **few))


def faster(name: str, pair: tuple[Model, Model], runtime: Runtime, context: Context, benchmark: Benchmark) -> Figure:
    """The second of a pair against the first, once both have answered as their modules; 0 if one does not, or fails."""
    with Gauge(runtime, context, benchmark) as gauge:
        files = [gauge.exported(model) for model in pair]
        try:
            for file in files:
                gauge.logits_NK(file, context.data.validation)
        except StageFailed as miss:
            return Figure(f"{name}: {miss.cause}", 0.0, 1.0, at_least=True)
        ratio = gauge.latencies(files)[1].ratio
    return Figure(f"{name}: times faster [{ratio.low:.2f}, {ratio.high:.2f}]", ratio.value, 1.0, at_least=True)


def engine(data: DataSet) -> Figure:
    """ResNet-50: groups found, channels scored and chosen, tensors cut, network built again, on one core."""
    import torch

    from pipeline.models.resnet import ResNet50

    threads, context = torch.get_num_threads(), Context(data.splits)
    torch.set_num_threads(1)
    model = ResNet50()(None, context)
    start = time.perf_counter()
    Prune(ratio=RATIO)(model, context)
    seconds = time.perf_counter() - start
    torch.set_num_threads(threads)
    return Figure("ResNet-50: seconds of groups and surgery", seconds, ENGINE_SECONDS)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=f"of {', '.join(families())}; all unless given")
    parser.add_argument("--seconds", type=float, default=6.0, help="to time a file and its pruned twin")
    asked = parser.parse_args()
    benchmark = Benchmark(seconds=asked.seconds, precision=0.02, cold_starts=0)
    sources = {size: Digits(size=size).load() for size in (EDGE, SMALL_EDGE)}
    kept = [engine(sources[EDGE])]
    for name in asked.families or families():
        data = sources[SMALL_EDGE if name in SMALL else EDGE]
        for figure in figures(name, families()[name], data, benchmark):
            print(figure.line(), flush=True)
            kept.append(figure)
    return tell("pruning-engine", COMMAND, kept)


if __name__ == "__main__":
    sys.exit(main())
