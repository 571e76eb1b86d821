"""Does one line make a network faster within its budget, and soon enough, also one that was never seen here?

    EDGEWRIGHT_DATA=DATA python -m benchmarks.optimize [--images 2000] [--max-drop 0.01] [--out DIR]

Wants ``imagenet_val/``, ``cats_dogs/`` and ``weights/`` below the data root. Puts photographs into one flat folder,
so without labels, and optimizes MobileNetV2 with weights of ImageNet on it. Then a bare float ONNX file,
EfficientNet-Lite0 as PyTorch's older exporter writes it, of which only the pixels are told, on photographs of cats and
dogs. Writes the figures to ``benchmarks/results/<machine>/optimize.json``, and with ``--out`` keeps what was
delivered. Ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figure import Figure, tell

if TYPE_CHECKING:
    from pipeline.results import Results
    from pipeline.wishes import Wishes

COMMAND = "python -m benchmarks.optimize"
PROMISED_S = 300.0
SHAPE = (3, 224, 224)
UNSEEN = "efficientnet_lite0 as a file"
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
UNSEEN_PIXELS = {"mean": (127 / 255,) * 3, "std": (128 / 255,) * 3}
PADDING = "recipes.float.MobileNetV2.padding=tensorflow"


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


def cats_and_dogs(folder: Path, images: int) -> Path:
    """So many of each, in class folders."""
    from pipeline.data._root import data_root

    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True)
        found = sorted((data_root() / "cats_dogs").glob(f"*/{name}/*.jpg"))
        for number, file in enumerate(found[: images // 2]):
            shutil.copy(file, folder / name / f"{number:05}.jpg")
    return folder


def unseen(path: Path) -> Path:
    """A float ONNX file of another family, as most people export them."""
    import torch

    from pipeline.data._root import data_root
    from pipeline.models.efficientnet_lite import EfficientNetLite0
    from pipeline.models.pretrained import put_into, read_state

    module = EfficientNetLite0().network(SHAPE, 1000).eval()
    [weights] = (data_root() / "weights").glob("efficientnet_lite0-*.pth")
    put_into(module, read_state(weights), str(weights), "EfficientNetLite0")
    with torch.no_grad():
        torch.onnx.export(module, (torch.zeros(1, *SHAPE),), path, dynamo=False, opset_version=17)
    return path


def wishes(max_drop: float, family: bool) -> Wishes:
    from pipeline.data._root import data_root
    from pipeline.given import Pixels
    from pipeline.wishes import Wishes

    if not family:
        return Wishes(max_drop=max_drop, pixels=Pixels(resize=256, interpolation="bicubic", **UNSEEN_PIXELS))
    weights = data_root() / "weights" / "mobilenet_v2_tf_deq.pth.xz"
    pixels = Pixels(resize=256, interpolation="bicubic", **HALF)
    return Wishes(max_drop=max_drop, weights=str(weights), pixels=pixels, settings=(PADDING,))


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
    yield Figure(f"{name}: ways that were left out", float(len(results.failures)), 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--max-drop", type=float, default=0.01)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    kept: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="edgewright-optimize-") as temporary:
        folder = Path(temporary)
        flat, classes = photographs(folder / "flat", given.images), cats_and_dogs(folder / "two", given.images)
        for name, model, data in (
            ("mobilenet_v2", "MobileNetV2", flat),
            (UNSEEN, str(unseen(folder / "net.onnx")), classes),
        ):
            wanted = wishes(given.max_drop, model == "MobileNetV2")
            kept += measured(name, model, data, wanted, (given.out or folder) / name.replace(" ", "-"))
    return tell("optimize", COMMAND, kept)


def measured(name: str, model: str, data: Path, wanted: Wishes, out: Path) -> Iterator[Figure]:
    from pipeline.optimize import optimize

    start = time.monotonic()
    results = optimize(model, data, wanted, out)
    print(f"{name}: {results.recommendation.sentence}")
    yield from figures(name, results, time.monotonic() - start)


if __name__ == "__main__":
    sys.exit(main())
