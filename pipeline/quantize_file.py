"""``edgewright quantize``: somebody's float ONNX file and a folder of images into an int8 file that was checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.aside import Aside
from pipeline.bench import bench
from pipeline.data._folders import every_image
from pipeline.data._photographs import Photographs
from pipeline.dataset import Samples
from pipeline.errors import UsageError
from pipeline.files import write_files
from pipeline.measure.parity import compare_logits
from pipeline.plugin import build
from pipeline.progress import Progress, silent
from pipeline.quantizers.onnx_file import integer_file, left_float, measured_ranges, simplified, with_pairs
from pipeline.quantizers.onnx_int8 import FEW, Calibration
from pipeline.quantizers.onnx_read import read_float
from pipeline.results import Latency, Parity
from pipeline.rewrites.external_data import whole_bytes
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.spec import InputSpec, Positive, Value
from pipeline.stranger import Stranger, looked_at
from pipeline.study import Benchmark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 8


class Wanted(Value):
    """How to quantize.

    Attributes:
        calibration: how ranges follow from the values seen; see ``PostTraining``.
        images: to calibrate on; as many others, where there are so many, check the result.
        mean, std: of the network's input, one a channel, in units of the 0…1 image.
        portable: weights on which no processor saturates; see ``PostTraining``.
        amx: for processors with AMX; see ``ExportOnnx``.
        convert: raise an operator set that is too old.
        shape: (channels, height, width), for files that do not say.
    """

    calibration: Calibration = "moving_average"
    images: Positive = 256
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    portable: bool = False
    amx: bool = False
    convert: bool = False
    shape: tuple[Positive, Positive, Positive] | None = None


class QuantizedFile(Value):
    """What came of it.

    Attributes:
        float_bytes: with external data.
        parity: int8 answers against float ones. checked_on: how many images, and whether calibration saw them.
        latency: of int8; its ratio is to the float file.
        left: operators that stay float.
    """

    file: str
    float_bytes: int
    int8_bytes: int
    calibrated_on: int
    checked_on: int
    unseen: bool
    parity: Parity
    latency: Latency
    left: tuple[str, ...]


def quantize_file(
    path: Path, data: Path, out: Path, wanted: Wanted, benchmark: Benchmark, progress: Progress = silent
) -> QuantizedFile:
    """Write ``NAME-int8.onnx`` into the folder ``out``, and tell how it compares.

    Args:
        data: a folder with images at any depth; labels are not needed.

    Raises:
        UsageError, UnavailableError: the file is not one that can be quantized.
        DataError: there are no images.
        StageFailed: a value in the network is NaN or infinite.
    """
    from pipeline.quantizers._onnx_mended import mended

    model = read_float(path, wanted.convert)
    with Aside() as aside:
        stranger = looked_at(path, aside, wanted.shape)
        seen, others = chosen(images_in(data, spec_of(stranger, wanted)), wanted.images)
        ready = simplified(model, stranger.shape)
        ranges = measured_ranges(ready, _batches(seen, progress), wanted.calibration)
        paired = with_pairs(ready, ranges, wanted.portable)
        made = integer_file(mended(paired, ready, seen.x_NCHW(0, FEW)), wanted.amx)
        target = _written(made.SerializeToString(), out, path)
        checked = others if len(others) else seen
        ours = _known(looked_at(target, aside), wanted)
        float_NK, int8_NK = (aside.do(answers, one, checked) for one in (stranger, ours))
        timed = bench([path, target], benchmark, [OnnxRuntime().kind], shape=wanted.shape, progress=progress)
    return QuantizedFile(
        file=str(target),
        float_bytes=whole_bytes(path),
        int8_bytes=target.stat().st_size,
        calibrated_on=len(seen),
        checked_on=len(checked),
        unseen=bool(len(others)),
        parity=compare_logits(float_NK, int8_NK),
        latency=timed.rows[-1].latency,
        left=tuple(f"{left.name} ({left.operator})" for left in left_float(made)),
    )


def _known(made: Stranger, wanted: Wanted) -> Stranger:
    """Our own file, opened so that any processor gives its answers."""
    said = {"integer": True, "portable": wanted.portable}
    artifact = made.artifact
    return replace(made, artifact=replace(artifact, manifest=artifact.manifest.model_copy(update=said)))


def spec_of(stranger: Stranger, wanted: Wanted) -> InputSpec:
    """How the network's images are made.

    Raises:
        UsageError: it takes no float images of one or three channels, or several a call, or mean and std do not
            fit them.
    """
    channels, height, width = stranger.shape
    batch = stranger.artifact.manifest.batch
    if batch > 1:
        cause = f"{stranger.name} takes {batch} images a call; int8 files take one"
        raise UsageError(cause, "export it for one image a call, or for any number")
    if stranger.dtype != "float32" or channels not in (1, 3):
        cause = f"{stranger.name} takes {channels} channels of {stranger.dtype}"
        raise UsageError(cause, "give a file that takes normalized float images of one or three channels")
    fields = {"size": (height, width), "resize": max(height, width), "color": "RGB" if channels == 3 else "L"}
    return build(InputSpec, {**fields, "mean": wanted.mean, "std": wanted.std}, "quantize")


def images_in(data: Path, spec: InputSpec) -> Samples:
    """Every image file below a folder, in sorted order; their labels are not known.

    Raises:
        DataError: there is none.
    """
    import numpy as np

    files = every_image(data)
    names = tuple(str(file) for file in files)
    return Samples(Photographs(files, names, spec), np.zeros(len(files), np.int64), spec)


def chosen(samples: Samples, images: int) -> tuple[Samples, Samples]:
    """Images to calibrate on, and others to check on: evenly spread over the folder, so over its classes."""
    import numpy as np

    places = np.unique(np.linspace(0, len(samples) - 1, min(2 * images, len(samples))).round().astype(np.int64))
    few = len(places) < 2 * images
    return samples.take(places if few else places[::2]), samples.take(places[:0] if few else places[1::2])


def _batches(samples: Samples, progress: Progress) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(samples), BATCH):
        progress(start, len(samples), "calibration images")
        yield samples.x_NCHW(start, start + BATCH)


def _written(content: bytes, out: Path, path: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{path.stem}-int8.onnx"
    write_files(out, {target.name: content})
    return target


def answers(stranger: Stranger, samples: Samples) -> NDArray[np.float32]:
    """In the process aside: logits_NK, one image a call."""
    import numpy as np

    session = OnnxRuntime().open(stranger.artifact, 1)
    return np.concatenate([session(samples.x_NCHW(i, i + 1)) for i in range(len(samples))])
