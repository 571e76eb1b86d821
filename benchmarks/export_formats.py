"""Does every format give the answers of the network that it was made from, with trained weights and on real images?

    EDGEWRIGHT_DATA=DATA python -m benchmarks.export_formats [--images 200] [--formats onnx ort …]

Wants ``imagenet_val/``, ``cats_dogs/`` and ``weights/`` below the data root, and the extras of the formats; those
whose packages are missing are left out and told. MobileNetV2 and EfficientNet-Lite0 with weights that others trained on
ImageNet, MobileNetV2 with a classifier of cats and dogs trained on top, and a MobileNetV3 trained on digits, float and
int8, are exported to every format and run on all runtimes that open it. As a yardstick it says what one step of one
pixel does to the network. Writes how often the most probable class is the module's, and the signal beside what differs,
to ``benchmarks/results/<machine>/export-formats.json``. Int8 is portable, so that processors without VNNI answer too.
Half an hour on one core.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.figure import Figure, tell
from benchmarks.pruning_engine import EDGE, TRAINING
from pipeline.plugin import discover
from pipeline.quantizers.post_training import PostTraining

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.artifact import Artifact
    from pipeline.dataset import DataSet, Samples
    from pipeline.exporters.exporter import Exporter
    from pipeline.model import Model
    from pipeline.runtime import Runtime
    from pipeline.stage import Context

COMMAND = "python -m benchmarks.export_formats"
PROMISED = {"float": 100.0, "int8": 99.0}  # per cent of the answers
INT8 = PostTraining(rounding="nearest", correct_bias=False, portable=True)


class Subject(NamedTuple):
    """A trained network, and images that it has answers for."""

    name: str
    model: Model
    data: DataSet


def subjects() -> Iterator[Subject]:
    from benchmarks.peers.order import default_models
    from pipeline.data.digits import Digits
    from pipeline.dataset import read_source
    from pipeline.models.mobilenet_v3 import MobileNetV3
    from pipeline.stage import Context
    from pipeline.trainers.transfer import Transfer

    imagenet = read_source("imagenet").load()
    for name, model in default_models(imagenet).items():
        yield Subject(f"{name}, ImageNet", model, imagenet)
        if name == "MobileNetV2":
            pets = read_source({"cats_dogs": {"interpolation": "bicubic"}}).load()
            yield Subject(f"{name}, cats and dogs", Transfer()(model, Context(pets.splits)), pets)
    digits = Digits(size=EDGE).load()
    context = Context(digits.splits)
    yield Subject("MobileNetV3, digits", TRAINING(MobileNetV3()(None, context), context), digits)


def exporters(formats: list[str]) -> dict[str, Exporter]:
    """Those whose packages are here, by format."""
    from pipeline.exporters.exporter import Exporter

    known = [plugin for plugin in discover("stage").values() if issubclass(plugin, Exporter)]
    wanted = [plugin for plugin in known if not formats or plugin.format in formats]
    for plugin in wanted:
        if plugin.missing():
            print(f"left out: {plugin.format}, {plugin.remedy()}")
    return {plugin.format: plugin() for plugin in wanted if not plugin.missing()}


def runtimes_of(format_: str) -> list[Runtime]:
    """Those that are here, and open it."""
    from pipeline.runtime import Runtime

    known = [plugin for plugin in discover("runtime").values() if issubclass(plugin, Runtime)]
    return [plugin() for plugin in known if plugin.opens(format_) and not plugin.missing()]


def figures(subject: Subject, known: Mapping[str, Exporter], images: int) -> Iterator[Figure]:
    """Of one network: how each format answers, float and int8.

    Args:
        known: exporters by format.
    """
    import numpy as np

    from pipeline.errors import Unfit
    from pipeline.measure.accuracy import answers
    from pipeline.stage import Context

    context = Context(subject.data.splits.normalized_as(subject.model.spec))
    test = subject.data.test.take(np.arange(images))
    for precision, model in {"float": subject.model, "int8": INT8(subject.model, context)}.items():
        # One image a call, as the files: another batch sums in another order, and int8 networks hear that.
        own = test.normalized_as(model.spec)
        wanted_NK = answers(model.logits_NK, own, batch=1)
        print(f"{subject.name}, {precision}: {yardstick(model, own, wanted_NK)}", flush=True)
        for format_, exporter in known.items():
            try:
                with tempfile.TemporaryDirectory() as folder:
                    artifact = exported(exporter, model, context, Path(folder))
                    asked = test.normalized_as(artifact.manifest.input)
                    for runtime in runtimes_of(format_):
                        name = f"{subject.name}, {precision}, {format_} on {runtime.kind}"
                        found_NK = answers(runtime.open(artifact, 1), asked, batch=1)
                        yield figure(name, wanted_NK, found_NK, PROMISED[precision])
            except Unfit as error:
                print(f"{subject.name}, {precision}, {format_}: {error.cause}", flush=True)


def yardstick(model: Model, test: Samples, wanted_NK: NDArray[np.float32]) -> str:
    """How much the network itself makes of one step of one pixel: no format can be held to more."""
    import numpy as np

    from pipeline.measure.parity import compare_logits

    x_NCHW = test.x_NCHW()
    middle = tuple(edge // 2 for edge in model.spec.size)
    x_NCHW[:, :, middle[0], middle[1]] += (np.float32(1) / 255 / np.array(model.spec.std, np.float32))[None]
    nudged_NK = np.concatenate([model.logits_NK(x_1CHW) for x_1CHW in x_NCHW[:, None]])
    parity = compare_logits(wanted_NK, nudged_NK)
    return f"with one pixel a step brighter {100 * parity.agreement:.1f} % same top-1, {parity.sqnr_db:.1f} dB"


def exported(exporter: Exporter, model: Model, context: Context, folder: Path) -> Artifact:
    from pipeline.artifact import Artifact

    exporter(model, context).save(folder)
    return Artifact.load(folder)


def figure(name: str, wanted_NK: NDArray[np.float32], found_NK: NDArray[np.float32], promised: float) -> Figure:
    from pipeline.measure.parity import compare_logits

    parity = compare_logits(wanted_NK, found_NK)
    title = f"{name}: same top-1, % of {len(wanted_NK)} images, {parity.sqnr_db:.1f} dB"
    return Figure(title, 100 * parity.agreement, promised, at_least=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--formats", nargs="*", default=[])
    given = parser.parse_args()
    kept, known = [], exporters(given.formats)
    for subject in subjects():
        for one in figures(subject, known, given.images):
            print(one.line(), flush=True)
            kept.append(one)
    return tell("export-formats", COMMAND, kept)


if __name__ == "__main__":
    sys.exit(main())
