"""Static post-training int8 of an ONNX file, without the network that it came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.artifact import Artifact, Draft
from pipeline.quantizers.onnx_given import drafted, tools
from pipeline.stage import ARTIFACT, Context, Stage

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from numpy.typing import NDArray

    from pipeline.quantizers._ranges import Bounds

Calibration = Literal["min_max", "moving_average", "percentile", "entropy", "mse"]
BATCH = 8


class OnnxInt8(Stage):
    """Static post-training int8 of a float ONNX file, by its graph alone.

    Attributes:
        calibration: how a range follows from the values seen; see ``PostTraining``.
        portable: weights on which no processor saturates; see ``PostTraining``.
        amx: for processors with AMX; see ``ExportOnnx``.
        floats: names of nodes that stay float.
    """

    takes: ClassVar[tuple[str, ...]] = (ARTIFACT,)
    gives: ClassVar[str] = ARTIFACT
    format: ClassVar[str] = "onnx"
    calibration: Calibration = "moving_average"
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
        manifest = value.manifest.model_copy(update={"integer": True, "tools": tools()})
        return drafted(self.graph(model, ranges, floats), manifest, context)

    def graph(
        self, model: onnx.ModelProto, ranges: Mapping[str, Bounds], floats: Sequence[str] = ()
    ) -> onnx.ModelProto:
        """The int8 graph; ``model`` is left as it is."""
        import onnx

        from pipeline.quantizers.onnx_file import integer_file

        copy = onnx.ModelProto()
        copy.CopyFrom(model)  # the quantizer works on what it is given
        return integer_file(copy, ranges, self.portable, self.amx, floats)


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
