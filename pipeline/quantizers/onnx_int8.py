"""Static post-training int8 of an ONNX file, without the network that it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.artifact import Artifact, Draft
from pipeline.quantizers.onnx_given import drafted, tools
from pipeline.spec import Positive
from pipeline.stage import ARTIFACT, Context, Stage

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from pipeline.quantizers._ranges import Bounds

Calibration = Literal["min_max", "moving_average", "percentile", "entropy", "mse"]
BATCH = 8
FEW = 32  # images for rounding and biases


class OnnxInt8(Stage):
    """Static post-training int8 of a float ONNX file, by its graph alone.

    Attributes:
        calibration: how a range follows from the values seen; see ``PostTraining``.
        rounding: "nearest", or "outputs"; see ``PostTraining``. correct_bias: the same.
        images: at most so many, of the calibration images, for rounding and biases.
        portable: weights on which no processor saturates; see ``PostTraining``.
        amx: for processors with AMX; see ``ExportOnnx``.
        floats: names of nodes that stay float.
    """

    takes: ClassVar[tuple[str, ...]] = (ARTIFACT,)
    gives: ClassVar[str] = ARTIFACT
    format: ClassVar[str] = "onnx"
    version: ClassVar[int] = 2
    calibration: Calibration = "moving_average"
    rounding: Literal["nearest", "outputs"] = "outputs"
    correct_bias: bool = True
    images: Positive = FEW
    portable: bool = False
    amx: bool = False
    floats: tuple[str, ...] = ()

    def __call__(self, value: Artifact, context: Context) -> Draft:
        model = ready(value)
        return self.made(model, self.ranges(model, self.calibration, context), self.floats, value, context)

    def ranges(self, model: onnx.ModelProto, calibration: Calibration, context: Context) -> Mapping[str, Bounds]:
        """Of every float tensor, found one way."""
        from pipeline.quantizers.onnx_file import measured_ranges

        return measured_ranges(model, batches(context), calibration)

    def made(
        self,
        model: onnx.ModelProto,
        ranges: Mapping[str, Bounds],
        floats: Sequence[str],
        value: Artifact,
        context: Context,
    ) -> Draft:
        """The int8 file with these ranges, and those nodes float."""
        from pipeline.quantizers.onnx_file import integer_file

        manifest = value.manifest.model_copy(update={"integer": True, "tools": tools()})
        return drafted(integer_file(self.paired(model, ranges, floats, context), self.amx), manifest, context)

    def paired(
        self,
        model: onnx.ModelProto,
        ranges: Mapping[str, Bounds],
        floats: Sequence[str],
        context: Context,
        apart: bool = False,
    ) -> onnx.ModelProto:
        """The int8 graph before our rewrites, mended; ``model`` is left as it is.

        Args:
            apart: see ``mended``.
        """
        from pipeline.quantizers._onnx_mended import mended
        from pipeline.quantizers.onnx_file import with_pairs

        few_NCHW = context.data.calibration.x_NCHW(0, self.images)
        paired = with_pairs(model, ranges, self.portable, floats)
        return mended(paired, model, few_NCHW, self.rounding == "outputs", self.correct_bias, apart)


def ready(value: Artifact) -> onnx.ModelProto:
    """An artifact's graph, simplified, with all shapes known."""
    import onnx

    from pipeline.quantizers.onnx_file import simplified

    return simplified(onnx.load(value.path), value.manifest.input.shape)


def batches(context: Context) -> Iterator[NDArray[np.float32]]:
    """Calibration images, a few at a time."""
    images = context.data.calibration
    for start in range(0, len(images), BATCH):
        context.stop.check()
        context.progress(start, len(images), "calibration images")
        yield images.x_NCHW(start, start + BATCH)
