"""``edgewright optimize``: a network and a folder of images into the fastest file within a budget, without a study."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.data.any_folder import AnyFolder
from pipeline.errors import DataError, UsageError
from pipeline.exporters.onnx import ExportOnnx
from pipeline.files import folder_lock, write_files
from pipeline.given import Given, given, named_in
from pipeline.models.architecture import Architecture
from pipeline.plugin import build
from pipeline.pruners.gradual import PruneGradually
from pipeline.pruners.structured import inside_blocks
from pipeline.quantizers.aware import QuantizationAware
from pipeline.quantizers.onnx_int8 import Calibration
from pipeline.results import Results
from pipeline.run import run
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.settings import apply_setting
from pipeline.spec import Budget
from pipeline.stage import Recipe, Stage
from pipeline.study import Benchmark, Study, read_study
from pipeline.trainers.distillation import Distill, by_blocks
from pipeline.trainers.supervised import Train
from pipeline.trainers.transfer import Transfer
from pipeline.tuners.mixed_precision import MixedPrecision
from pipeline.tuners.onnx_mixed import OnnxMixed
from pipeline.wishes import Wishes

STUDY, GIVEN = "study.yaml", "given"
FLOAT, INT8 = "float", "int8"
# Enough for one network in minutes, where layers must stay float.
QUICK: dict[str, Any] = {"seconds": 5.0, "candidates": 2, "most": 4}
WAYS: tuple[Calibration, ...] = ("mse",)
WITH_TRAINING = (0.7, 0.1, 0.2)
AUGMENT = ("flip",)


def optimize(
    model: str | Path,
    data: str | Path,
    wishes: Wishes = Wishes(),  # noqa: B008  it is frozen
    out: Path | None = None,
    *,
    device: str = "auto",
    console: Console | None = None,
) -> Results:
    """Try what applies, measure everything in the same sittings, and deliver the fastest within the budget.

    The study that this is lies in the output folder, for ``edgewright run`` to do again.

    Args:
        model: a family's name, ``package.module:function``, or a float ONNX file.
        data: a folder of images, in one folder a class where labels are known.
        out: ``exported/<study>`` unless given. device: where training runs.

    Raises:
        UsageError: the network or the wishes cannot be used. DataError: the images cannot.
        UnavailableError: a file is not whole, or a package is missing.
        EdgewrightError: what ``run`` raises.
    """
    out = out or folder_for(model)
    with folder_lock(out):
        study = prepared(model, data, wishes, out)
        return run(study, out, device=device, console=console, held=True)


def folder_for(model: str | Path) -> Path:
    """Where results go unless somebody says otherwise."""
    return Path("exported") / name_of(model)


def name_of(model: str | Path) -> str:
    """A study's name.

    >>> name_of("nets/my net.onnx"), name_of("package.module:make"), name_of("MobileNetV2")
    ('optimized-my-net', 'optimized-package.module-make', 'optimized-MobileNetV2')
    """
    text = str(model)
    return f"optimized-{re.sub(r'[^A-Za-z0-9_.]+', '-', Path(text).name.removesuffix('.onnx')).strip('-')}"


def prepared(model: str | Path, data: str | Path, wishes: Wishes, out: Path) -> Study:
    """The study, written into the output folder, which the caller holds."""
    found = given(str(model), wishes.pixels, wishes.weights, wishes.convert, out / GIVEN)
    study = changed(study_of(name_of(model), found, data, wishes), wishes.settings)
    write_files(out, {STUDY: study.to_yaml().encode()})
    return study


def study_of(name: str, found: Given, data: str | Path, wishes: Wishes) -> Study:
    """What is to be tried of a network.

    Raises:
        UsageError: it cannot be trained, and should be; or there is nothing to measure it by.
    """
    source = folder(found, data, wishes)
    if wishes.train:
        _check_trainable(found, source)
    return Study(
        name=name,
        data=source,
        reference=FLOAT,
        recipes=tuple(recipes(found, source, wishes)),
        exports=(ExportOnnx(),),
        runtimes=(OnnxRuntime(),),
        seed=wishes.seed,
        budget=Budget(max_drop=wishes.max_drop),
        benchmark=Benchmark(seconds=wishes.seconds, threads=wishes.threads, cold_starts=1),
        lenient=True,
    )


def folder(found: Given, data: str | Path, wishes: Wishes) -> AnyFolder:
    """The images as the network takes them.

    Raises:
        UsageError: names of classes do not fit it.
    """
    spec, classes = found.spec, named_in(Path(wishes.classes)) if wishes.classes else found.classes
    retrained = wishes.train and found.walkable
    fields: dict[str, Any] = {
        "path": str(data),
        "outputs": 0 if retrained else found.outputs,
        "classes": () if retrained and not wishes.classes else classes,
        "size": spec.size[0],
        "width": 0 if spec.size[0] == spec.size[1] else spec.size[1],
        "grey": spec.color == "L",
        "resize": spec.resize,
        "interpolation": spec.interpolation,
        "mean": (spec.mean * 3)[:3],
        "std": (spec.std * 3)[:3],
        "skip_unreadable": wishes.skip_unreadable,
        "notes": found.notes,
    }
    return build(AnyFolder, fields | ({"fractions": WITH_TRAINING} if wishes.train else {}), "data")


def _check_trainable(found: Given, source: AnyFolder) -> None:
    if not found.walkable:
        cause = "only a family of ours can be trained here: this network is a file, which cannot be taken apart"
        raise UsageError(cause, "leave --train out, or train it where it was made; see `edgewright list` for families")
    if source.why_unlabelled:
        raise DataError(f"{source.why_unlabelled}, and training needs them", "put each class into a folder of its own")


def recipes(found: Given, source: AnyFolder, wishes: Wishes) -> Iterator[Recipe]:
    """The network as it is, and all ways to make it faster that apply to it."""
    allowed: dict[str, Any] = {"max_drop": wishes.max_drop, "threads": wishes.threads}
    if not isinstance(found.stage, Architecture):
        yield Recipe(name=FLOAT, stages=(found.stage,))
        yield Recipe(name=INT8, after=FLOAT, stages=(OnnxMixed(others=WAYS, **allowed),))
        return
    yield Recipe(name=FLOAT, stages=(found.stage, *_learning(found, source, wishes)))
    yield Recipe(name=INT8, after=FLOAT, stages=(MixedPrecision(**allowed, **QUICK),))
    if wishes.train:
        yield from trained()


def _learning(found: Given, source: AnyFolder, wishes: Wishes) -> tuple[Stage, ...]:
    """How the network comes to know the data's classes, where it does not yet.

    Raises:
        UsageError: it knows nothing at all, and may not learn.
    """
    if not found.outputs:
        if wishes.train:
            return (Train(epochs=30, augment=AUGMENT),)
        kind = found.stage.kind
        raise UsageError(f"{kind} has no weights: there is nothing to optimize", "give --weights FILE, or --train")
    if wishes.train and found.outputs != len(source.listing().classes):
        return (Transfer(),)
    return ()


def trained() -> Iterator[Recipe]:
    """Ways that take training; the float network teaches."""
    lesson = Distill(teacher=FLOAT, epochs=2, lr=0.01, augment=AUGMENT)
    aware = QuantizationAware(teacher=FLOAT, augment=AUGMENT)
    yield Recipe(name="int8-aware", after=FLOAT, stages=(aware,))
    yield Recipe(name="pruned", after=FLOAT, stages=(PruneGradually(ratio=0.4, steps=3, between=lesson),))
    yield Recipe(name="pruned-int8", after="pruned", stages=(aware,))
    # Families without blocks do without.
    led = by_blocks(FLOAT, epochs=8, lr=0.01, augment=AUGMENT)
    yield Recipe(name="pruned-inside", after=FLOAT, stages=(inside_blocks(0.46), led))
    yield Recipe(name="pruned-inside-int8", after="pruned-inside", stages=(aware,))


def changed(study: Study, settings: tuple[str, ...]) -> Study:
    """The study with ``key=value`` applied to its YAML view.

    Raises:
        UsageError: no such key, or no such value.
    """
    if not settings:
        return study
    plain = study.written()
    for setting in settings:
        apply_setting(plain, setting)
    return read_study(plain, study.name)
