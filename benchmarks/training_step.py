"""Images a second of the training loop against a bare hand-written one, on the same batches.

    python -m benchmarks.training_step [--device cuda]

Both train the same network on the same images in alternating rounds of one process; the figure
is the ratio of their median step times, with a bootstrap interval over rounds. On a GPU the
share of a step in which kernels ran is measured as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from benchmarks.figure import Figure, tell

if TYPE_CHECKING:
    import torch

    from pipeline.model import Model
    from pipeline.models.architecture import Architecture
    from pipeline.stage import Context
    from pipeline.trainers.plan import Plan

ROUNDS, EDGE = 7, 32
STEPS = {"cpu": 8, "cuda": 128}


def images(count: int) -> Context:
    """Random colour images and labels: what is in them does not change how long a step takes."""
    import numpy as np

    from pipeline.dataset import Samples, assemble
    from pipeline.images import Held
    from pipeline.spec import InputSpec
    from pipeline.stage import Context

    rng, spec = np.random.default_rng(0), InputSpec(size=(EDGE, EDGE), resize=EDGE)
    held = Held(rng.integers(0, 256, (count, EDGE, EDGE, 3), dtype=np.uint8))
    samples = Samples(held, rng.integers(0, 10, count), spec)
    return Context(assemble(samples, samples, tuple("0123456789")))


def our_step_s(model: Model, plan: Plan, context: Context) -> float:
    """Mean seconds of a step of the project's loop, after the first ones."""
    from dataclasses import replace

    from pipeline.trainers.supervised import Train

    told: list[tuple[int, float]] = []
    stage = Train.model_validate(plan.model_dump())
    stage(model, replace(context, progress=lambda done, *_: told.append((done, time.perf_counter()))))
    (first, start), (last, end) = told[1], told[-1]
    return (end - start) / (last - first)


def bare_step_s(model: Model, steps: int, x_NCHW: torch.Tensor, labels_N: torch.Tensor) -> float:
    """Mean seconds of a step as one would write it by hand, after the first ones."""
    import copy

    import torch
    from torch.nn import functional as F

    module = copy.deepcopy(model.module).to(x_NCHW.device).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)
    start, skipped = 0.0, steps // 4
    for step in range(steps):
        if step == skipped:
            start = time.perf_counter()
        optimizer.zero_grad()
        with torch.autocast(x_NCHW.device.type, torch.bfloat16, enabled=x_NCHW.is_cuda):
            loss = F.cross_entropy(module(x_NCHW), labels_N, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
    loss.item()  # waits for the device
    return (time.perf_counter() - start) / (steps - skipped)


def busy_share(model: Model, plan: Plan, context: Context) -> float:
    """Share of the time in which a kernel ran on the GPU, in the middle of training."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        our_step_s(model, plan, context)
    spans = [(e.time_range.start, e.time_range.end) for e in seen.events() if str(e.device_type).endswith("CUDA")]
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    low, high = first + 0.4 * (last - first), first + 0.9 * (last - first)
    inside = [end - start for start, end in spans if low <= start and end <= high]
    return float(sum(inside) / (high - low))


def rounds(family: Architecture, plan: Plan, context: Context) -> Iterator[tuple[float, float]]:
    """(bare, ours) seconds a step; the first round, which warms up, is left out."""
    import torch

    model, device = family(None, context), context.device
    x_NCHW = torch.from_numpy(context.data.train.x_NCHW(0, plan.batch)).to(context.device)
    x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)
    labels_N = torch.from_numpy(context.data.train.labels_N[: plan.batch]).to(context.device)
    for number in range(ROUNDS + 1):
        timings = {}
        tasks: list[tuple[str, Callable[[], float]]] = [
            ("bare", lambda: bare_step_s(model, STEPS[device], x_NCHW, labels_N)),
            ("ours", lambda: our_step_s(model, plan, context)),
        ]
        for name, task in tasks if number % 2 else reversed(tasks):
            timings[name] = task()
        if number:
            yield timings["bare"], timings["ours"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=sorted(STEPS))
    device = parser.parse_args().device
    from dataclasses import replace

    import numpy as np

    from pipeline.measure.statistics import median_interval
    from pipeline.models.mobilenet_v2 import MobileNetV2
    from pipeline.models.resnet import ResNet18
    from pipeline.trainers.plan import Plan

    figures: list[Figure] = []
    for family in (ResNet18(stem_stride=1), MobileNetV2(stem_stride=1)):
        plan = Plan(epochs=1, batch=32 if device == "cpu" else 512, lr=0.01, augment=())
        context = replace(images(STEPS[device] * plan.batch), device=device)
        bare, ours = (np.array(column) for column in zip(*rounds(family, plan, context), strict=True))
        ratio, rate = median_interval(bare / ours), plan.batch / float(np.median(ours))
        doubt = f"[{ratio.low:.2f}, {ratio.high:.2f}]"
        name = f"{family.kind}: speed of a step, bare loop = 1 {doubt} ({rate:.0f} images/s)"
        figures.append(Figure(name, ratio.value, 0.95, at_least=True))
        if device != "cpu":
            share = busy_share(family(None, context), plan, context)
            figures.append(Figure(f"{family.kind}: share of the time that the GPU is busy", share, 0.9, at_least=True))
    return tell(f"training-step-{device}", f"python -m benchmarks.training_step --device {device}", figures)


if __name__ == "__main__":
    sys.exit(main())
