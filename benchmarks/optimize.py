"""Does one line make a network faster within its budget, and soon enough, also one that was never seen here?

    EDGEWRIGHT_DATA=DATA python -m benchmarks.optimize [--images 2000] [--max-drop 0.01] [--out DIR]

Wants ``imagenet_val/``, ``cats_dogs/`` and ``weights/`` below the data root. MobileNetV2 with weights of ImageNet is
optimized on photographs in one flat folder, so without labels, and again on ImageNet's own in class folders. Then a
bare float ONNX file, as somebody would bring it: EfficientNet-Lite0, taught to tell cats from dogs by a few
photographs, as PyTorch's older exporter writes it. Only its pixels are told, and class folders of photographs that it
never saw. Writes the figures to ``benchmarks/results/<machine>/optimize.json``, and with ``--out`` keeps what was
delivered. Ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.figure import Figure, tell

if TYPE_CHECKING:
    from pipeline.results import Results
    from pipeline.wishes import Wishes

COMMAND = "python -m benchmarks.optimize"
PROMISED_S = 300.0
SHAPE = (3, 224, 224)
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
UNSEEN_PIXELS = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
PADDING = "recipes.float.MobileNetV2.padding=tensorflow"


class Subject(NamedTuple):
    """A network, and photographs."""

    name: str
    model: str
    data: Path
    wishes: Wishes


def photographs(folder: Path, images: int) -> Path:
    """So many photographs side by side, first of ImageNet's classes and then of cats and dogs."""
    from pipeline.data._root import data_root

    found = itertools.chain(
        sorted((data_root() / "imagenet_val").rglob("*.JPEG")),
        sorted((data_root() / "imagenet_val").rglob("*.jpg")),
        sorted((data_root() / "cats_dogs").rglob("*.jpg")),
    )
    folder.mkdir(parents=True)
    for number, file in enumerate(itertools.islice(found, images)):
        shutil.copy(file, folder / f"{number:05}{file.suffix.lower()}")
    return folder


def class_name(label: int) -> str:
    return f"{label:04}"


def imagenet(folder: Path) -> Path:
    """All labelled ones that there are, in class folders."""
    from pipeline.data.imagenet import ImageNet

    for pairs in ImageNet().listing().parts.values():
        for file, label in pairs:
            (folder / class_name(label)).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, folder / class_name(label) / file.name)
    return folder


def cats_and_dogs(folder: Path, images: int, parts: Sequence[str]) -> Path:
    """So many at most, half of them each, in class folders.

    Args:
        parts: of the data set, "train", "val" or "test".
    """
    from pipeline.data._root import data_root

    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        found = [file for part in parts for file in sorted((data_root() / "cats_dogs" / part / name).glob("*.jpg"))]
        for number, file in enumerate(found[: images // 2]):
            shutil.copy(file, folder / name / f"{number:05}.jpg")
    return folder


def unseen(path: Path, photographs: Path) -> Path:
    """A float ONNX file of another family, as most people train and export them: a new last layer, nothing else."""
    import torch

    from pipeline.data._root import data_root
    from pipeline.data.folder import Folder
    from pipeline.models.efficientnet_lite import EfficientNetLite0
    from pipeline.stage import Context
    from pipeline.trainers.transfer import Transfer

    data = Folder(path=str(photographs), interpolation="bicubic").load()
    [weights] = (data_root() / "weights").glob("efficientnet_lite0-*.pth")
    model = EfficientNetLite0(weights=str(weights))(None, Context(data.splits))
    taught = Transfer(tune=None)(model, Context(data.splits.normalized_as(model.spec)))
    with torch.no_grad():
        torch.onnx.export(taught.module, (torch.zeros(1, *SHAPE),), path, dynamo=False, opset_version=17)
    return path


def subjects(folder: Path, images: int, max_drop: float) -> Iterator[Subject]:
    from pipeline.data._root import data_root
    from pipeline.given import Pixels
    from pipeline.wishes import Wishes

    weights = data_root() / "weights" / "mobilenet_v2_tf_deq.pth.xz"
    pixels = Pixels(resize=256, interpolation="bicubic", **HALF)
    known = Wishes(max_drop=max_drop, weights=str(weights), pixels=pixels, settings=(PADDING,))
    yield Subject("mobilenet_v2, no labels", "MobileNetV2", photographs(folder / "flat", images), known)
    labelled, classes = imagenet(folder / "imagenet"), folder / "classes.txt"
    classes.write_text("\n".join(class_name(label) for label in range(1000)))
    named = known.model_copy(update={"classes": str(classes)})
    yield Subject("mobilenet_v2, labels", "MobileNetV2", labelled, named)
    file = unseen(folder / "net.onnx", cats_and_dogs(folder / "few", images, ("test",)))
    told = Wishes(max_drop=max_drop, pixels=Pixels(resize=256, interpolation="bicubic", **UNSEEN_PIXELS))
    data = cats_and_dogs(folder / "two", images, ("train", "val"))
    yield Subject("efficientnet_lite0 as a file, labels", str(file), data, told)


def figures(name: str, results: Results, seconds: float) -> Iterator[Figure]:
    """Of one network: how long it took, and what the recommended file loses and gains."""
    yield Figure(f"{name}: seconds, with timing", seconds, PROMISED_S)
    chosen = results.variants[results.recommendation.variant or 0]
    what = "top-1" if results.labelled else "agreement with float"
    lost = results.variants[results.reference].validation_top1 - chosen.validation_top1
    yield Figure(
        f"{name}: points of {what} lost on validation, {chosen.recipe}", 100 * lost, 100 * results.budget.max_drop
    )
    ratio = chosen.latency.ratio
    note = f"speed of {chosen.recipe} against float [{ratio.low:.2f}, {ratio.high:.2f}]"
    yield Figure(f"{name}: {note}", ratio.value, 1.0, at_least=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--max-drop", type=float, default=0.01)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    kept: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="edgewright-optimize-") as temporary:
        folder = Path(temporary)
        for subject in subjects(folder, given.images, given.max_drop):
            kept += measured(subject, (given.out or folder) / re.sub(r"\W+", "-", subject.name))
    return tell("optimize", COMMAND, kept)


def measured(subject: Subject, out: Path) -> Iterator[Figure]:
    from pipeline.optimize import optimize

    start = time.monotonic()
    results = optimize(subject.model, subject.data, subject.wishes, out)
    took = time.monotonic() - start
    print(f"{subject.name}: {results.recommendation.sentence}")
    for failure in results.failures:
        print(f"  {failure.recipe} is left out: {failure.reason}")
    yield from figures(subject.name, results, took)


if __name__ == "__main__":
    sys.exit(main())
