"""How many layers must stay float for int8 to keep its accuracy, on networks that others trained on ImageNet?

    EDGEWRIGHT_DATA=DATA python -m benchmarks.mixed_precision [--max-drop 0.005] [--seconds 20] [--out DIR]

Wants ``imagenet_val/`` and ``weights/`` below the data root. Each network is quantized twice: as
``PostTraining`` does unless told otherwise, and plainly, by nearest rounding and the extremes of what was seen.
Validation images decide which layers stay float; of the test images, which decide nothing, it prints
what float, int8 and the mixed network get right. Writes the figures to
``benchmarks/results/<machine>/mixed-precision.json``, and with ``--out`` the files. Half an hour on two cores.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figure import Figure, tell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.dataset import DataSet
    from pipeline.model import Model
    from pipeline.stage import Context
    from pipeline.tuners.mixed_precision import MixedPrecision

COMMAND = "python -m benchmarks.mixed_precision"
WAYS: dict[str, dict[str, Any]] = {
    "default": {},
    "plain": {"calibration": "min_max", "rounding": "nearest", "correct_bias": False},
}


def figures(name: str, value: Model, data: DataSet, stage: MixedPrecision, out: Path | None) -> Iterator[Figure]:
    """Of one network, quantized one way: what it loses, and what the layers that stay float give back."""
    from pipeline.quantizers.post_training import PostTraining
    from pipeline.stage import Context

    noted: dict[str, Any] = {}
    context = Context(data.splits.normalized_as(value.spec), note=noted.__setitem__, warn=print)
    mixed = stage(value, context)
    plain = PostTraining(**stage.model_dump(include=set(PostTraining.model_fields)))
    made = {"float": value, "int8": plain(value, context), "mixed": mixed}
    floats, lost = noted["float_layers"], noted["top1_lost"]["value"]
    layers = f"{len(floats)} float layers{': ' if floats else ''}{', '.join(floats)}"
    yield Figure(f"{name}: points lost on validation images, {layers}", 100 * lost, 100 * stage.max_drop)
    right = right_on_test(made, data, context, out / name.replace(", ", "-") if out else None)
    yield from (compared(name, right, label, stage.max_drop) for label in ("int8", "mixed"))


def right_on_test(
    made: dict[str, Model], data: DataSet, context: Context, out: Path | None
) -> dict[str, NDArray[np.bool_]]:
    """Which test images each model's file gets right in ONNX Runtime."""
    from pipeline.runtimes.onnx_runtime import OnnxRuntime
    from pipeline.tuners._measured import Gauge

    right = {}
    with Gauge(OnnxRuntime(), context) as gauge:
        for label, model in made.items():
            artifact = gauge.exported(model)
            right[label] = gauge.logits_NK(artifact, data.test).argmax(1) == data.test.labels_N
            if out:
                shutil.copytree(artifact.folder, out / label, dirs_exist_ok=True)
    return right


def compared(name: str, right: dict[str, NDArray[np.bool_]], label: str, max_drop: float) -> Figure:
    """A paired difference on the images that decided nothing: is it shown that more is lost than allowed?"""
    from pipeline.measure.statistics import paired_difference

    found = paired_difference(right["float"], right[label]).difference
    interval = f"{100 * found.value:+.2f} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"
    top1 = f"{100 * right['float'].mean():.2f} % float, {100 * right[label].mean():.2f} % {label}"
    title = f"{name}: {len(right[label])} test images, top-1 {top1}, {interval} points; surely lost"
    return Figure(title, -100 * found.high, 100 * max_drop)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--max-drop", type=float, default=0.005, help="top-1 that may be lost on validation images")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each set of candidates")
    parser.add_argument("--out", type=Path, help="keep the float, int8 and mixed files there")
    given = parser.parse_args()
    from benchmarks.peers.order import default_models
    from pipeline.dataset import read_source
    from pipeline.tuners.mixed_precision import MixedPrecision

    # More validation images than usual: they decide.
    data, kept = read_source({"imagenet": {"fractions": [0.2, 0.4, 0.4]}}).load(), list[Figure]()
    for name, value in default_models(data).items():
        for way, fields in WAYS.items():
            stage = MixedPrecision(max_drop=given.max_drop, seconds=given.seconds, **fields)
            kept += list(figures(f"{name}, {way}", value, data, stage, given.out))
    return tell("mixed-precision", COMMAND, kept)


if __name__ == "__main__":
    sys.exit(main())
