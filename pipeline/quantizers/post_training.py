"""Int8 after training."""

from __future__ import annotations

from typing import ClassVar, Literal

from pipeline.model import Model
from pipeline.spec import Positive
from pipeline.stage import INT8, Context, Stage


class PostTraining(Stage):
    """Static post-training int8: ranges from calibration images, no training.

    Attributes:
        calibration: how a range follows from the values seen. "min_max" covers all; "moving_average"
            those of a usual batch; "percentile" 99.99 %; "entropy" and "mse" minimize what rounding and
            clipping do to the distribution or to the values.
        rounding: "nearest", or "outputs": each weight up or down so that the layer's outputs change least.
        correct_bias: let biases take up the mean error of rounding.
        equalize: scale channels between convolutions first; for layers with a ReLU or nothing between.
        portable: weights on which no processor saturates: x86 without VNNI answers the same.
        images: at most so many, of the calibration images, for rounding and biases.
        floats: names of layers in the captured graph that stay float.
    """

    gives: ClassVar[str] = INT8
    version: ClassVar[int] = 3
    calibration: Literal["min_max", "moving_average", "percentile", "entropy", "mse"] = "moving_average"
    rounding: Literal["nearest", "outputs"] = "outputs"
    correct_bias: bool = True
    equalize: bool = False
    portable: bool = False
    images: Positive = 32
    floats: tuple[str, ...] = ()

    def __call__(self, value: Model, context: Context) -> Model:
        import torch

        from pipeline.folding import folded
        from pipeline.quantizers._calibration import batches, calibrate
        from pipeline.quantizers._equalization import equalized
        from pipeline.quantizers._left import tell_left
        from pipeline.quantizers._reconstruction import reconstruct
        from pipeline.quantizers.quantized import prepare, quantized

        module = equalized(folded(value.module)) if self.equalize else folded(value.module)
        prepared = prepare(module, value.spec, self.floats, self.portable)
        tell_left(prepared, self.floats, context.warn)
        calibrate(prepared, batches(context.data.calibration), self.calibration)
        if self.correct_bias or self.rounding == "outputs":
            few_NCHW = torch.cat(list(batches(context.data.calibration, self.images)))
            reconstruct(prepared, few_NCHW, self.rounding == "outputs", self.correct_bias)
        return quantized(value, prepared, self.floats)
