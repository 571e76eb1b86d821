"""Int8 after training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.model import Model
from pipeline.spec import Positive
from pipeline.stage import INT8, Context, Stage

if TYPE_CHECKING:
    from torch import fx

    from pipeline.quantizers._calibration import Calibrated
    from pipeline.quantizers._mixed import Mixed


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
        from pipeline.quantizers.quantized import quantized

        prepared = self.rounded(self.calibrated(value, context), self.floats)
        return quantized(value, prepared, self.floats)

    def calibrated(self, value: Model, context: Context) -> Calibrated:
        """What is the same whichever layers stay float: folded weights, and the range of every tensor."""
        import torch

        from pipeline.folding import folded
        from pipeline.quantizers._calibration import Calibrated, batches, ranges_of
        from pipeline.quantizers._equalization import equalized
        from pipeline.quantizers._left import tell_left
        from pipeline.quantizers.quantized import prepare

        module = equalized(folded(value.module)) if self.equalize else folded(value.module)
        images, prepared = context.data.calibration, prepare(module, value.spec)
        tell_left(prepared, self.floats, context.warn)
        ranges = ranges_of(prepared, batches(images), self.calibration)
        return Calibrated(module, value.spec, ranges, torch.cat(list(batches(images, self.images))))

    def rounded(self, found: Calibrated, floats: Sequence[str]) -> fx.GraphModule:
        """The prepared network with ranges and rounded weights."""
        from pipeline.quantizers._reconstruction import reconstruct

        prepared = self._ranged(found, floats)
        if self.correct_bias or self.rounding == "outputs":
            reconstruct(prepared, found.few_NCHW, self.rounding == "outputs", self.correct_bias)
        return prepared

    def mixed(self, found: Calibrated) -> Mixed:
        """The int8 network in which any layers can be computed in float; see ``sensitivity.py``."""
        from pipeline.quantizers._mixed import Mixed
        from pipeline.quantizers._reconstruction import reconstruct_apart
        from pipeline.quantizers.quantized import round_biases

        prepared = self._ranged(found, ())
        if self.correct_bias or self.rounding == "outputs":
            reconstruct_apart(prepared, found.few_NCHW, self.rounding == "outputs", self.correct_bias)
        round_biases(prepared)
        return Mixed(prepared, dict(found.module.named_parameters()))

    def _ranged(self, found: Calibrated, floats: Sequence[str]) -> fx.GraphModule:
        from pipeline.quantizers._calibration import adopt
        from pipeline.quantizers.quantized import prepare

        prepared = prepare(copy.deepcopy(found.module), found.spec, floats, self.portable)
        adopt(prepared, found.ranges)
        return prepared
