"""The files that are asked, each with images and, where it knows something, their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.peers.order import default_models
from benchmarks.peers.quantization import untrained_families
from benchmarks.untrained import untrained
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.dataset import DataSet
    from pipeline.model import Model
    from pipeline.quantize_file import Wanted

TRAINED = ("EfficientNetLite0", "MobileNetV2")
NETWORKS = (*TRAINED, "MobileNetV3-Small")
FLOAT, PLAIN, PORTABLE = "float", "int8", "portable int8"
IMAGES, LABELS = "images.npy", "labels.npy"


class Case(NamedTuple):
    """One file to ask.

    Attributes:
        file: which of the network's. images: a file of (N, C, H, W) float32. labels: of (N,) int64, or None.
    """

    network: str
    file: str
    path: Path
    images: Path
    labels: Path | None = None


def of_network(name: str, work: Path, images: int) -> Iterator[Case]:
    """Our float, int8 and portable int8 files of a network; what is in ``work`` already is left as it is."""
    from pipeline.dataset import read_source

    folder = work / name
    if not (folder / LABELS).is_file():
        data = read_source("imagenet").load()
        _make(default_models(data).get(name) or untrained(untrained_families()[name], data), data, folder)
    chosen = _first(folder, images)
    for file in (FLOAT, PLAIN, PORTABLE):
        yield Case(name, file, folder / f"{file}.onnx", chosen, folder / LABELS if name in TRAINED else None)


def _make(model: Model, data: DataSet, folder: Path) -> None:
    import numpy as np

    from pipeline.exporters.onnx import ExportOnnx
    from pipeline.quantizers.post_training import PostTraining
    from pipeline.stage import Context

    folder.mkdir(parents=True, exist_ok=True)
    context = Context(data.splits.normalized_as(model.spec))
    ExportOnnx().write(model, folder / f"{FLOAT}.onnx")
    ExportOnnx().write(PostTraining()(model, context), folder / f"{PLAIN}.onnx")
    ExportOnnx().write(PostTraining(portable=True)(model, context), folder / f"{PORTABLE}.onnx")
    test = data.test.normalized_as(model.spec)
    np.save(folder / IMAGES, test.x_NCHW())
    np.save(folder / LABELS, test.labels_N)


def _first(folder: Path, images: int) -> Path:
    """A file of so many of the images."""
    import numpy as np

    path = folder / f"first-{images}.npy"
    np.save(path, np.load(folder / IMAGES, mmap_mode="r")[:images])
    return path


def of_files(files: Sequence[Path], data: Path, wanted: Wanted, work: Path) -> Iterator[Case]:
    """Somebody's ONNX files or artifacts, with images of a folder, evenly spread over it.

    Raises:
        UsageError: a file is no ONNX file, or takes no such images.
        DataError: the folder has no images.
    """
    import numpy as np

    from pipeline.artifact import MANIFEST
    from pipeline.aside import Aside
    from pipeline.quantize_file import chosen, images_in, spec_of
    from pipeline.stranger import looked_at

    with Aside() as aside:
        for number, file in enumerate(files):
            stranger = looked_at(file, aside)
            manifest = stranger.artifact.manifest
            if manifest.format != "onnx":
                raise UsageError(f"{file} is of format {manifest.format}; this asks ONNX Runtime")
            spec = manifest.input if (file / MANIFEST).is_file() else spec_of(stranger, wanted)
            samples, _ = chosen(images_in(data, spec), wanted.images)
            np.save(work / f"{number}.npy", samples.x_NCHW())
            yield Case(str(file), manifest.file, stranger.artifact.path, work / f"{number}.npy")
