"""Int8 that is trained in."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.model import Model
from pipeline.spec import Positive, Ratio
from pipeline.stage import INT8, Context, Stage
from pipeline.trainers.distillation import Taught
from pipeline.trainers.fit import fit


class QuantizationAware(Taught, Stage):
    """Quantization-aware training: a few epochs with int8 rounding in the forward pass.

    BatchNorm is folded first, which freezes it. Value ranges are followed in the first half of
    training and stay fixed in the second. A good rate is about a tenth of what trained the float
    model. With ``ema`` the weights are averaged, and the ranges are the last ones.

    Attributes:
        teacher: name of the recipe whose model is learned from, such as the full-size one; "" is the
            float model itself.
        portable: weights on which no processor saturates: x86 without VNNI answers the same.
    """

    version: ClassVar[int] = 3
    gives: ClassVar[str] = INT8
    shared: ClassVar[bool] = True
    epochs: Positive = 2
    lr: Annotated[float, Field(gt=0)] = 0.003
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    smoothing: Ratio = 0.0
    teacher: str = ""
    portable: bool = False

    def needs(self) -> tuple[str, ...]:
        return (self.teacher,) if self.teacher else ()

    def __call__(self, value: Model, context: Context) -> Model:
        from pipeline.folding import folded
        from pipeline.quantizers._calibration import batches, calibrate, measure_weights
        from pipeline.quantizers._left import tell_left
        from pipeline.quantizers.quantized import observe, prepare, quantized

        prepared = prepare(folded(value.module), value.spec, portable=self.portable)
        tell_left(prepared, (), context.warn)
        calibrate(prepared, batches(context.data.calibration), "moving_average")

        def freeze_late(step: int, total: int) -> None:
            if step in (0, -(-total // 2)):  # a checkpoint brings back what was chosen before it
                observe(prepared, observing=step == 0, quantizing=True)

        fit(prepared, self.imitating(self._teacher(value, context), value, context), self, context, freeze_late)
        if self.portable or self.ema:
            measure_weights(prepared)  # the range that was fixed is not that of these weights
        observe(prepared, observing=False, quantizing=True)
        return quantized(value, prepared)

    def _teacher(self, value: Model, context: Context) -> Model:
        if not self.teacher:
            return value
        assert context.teacher is not None, "the run gives every context a teacher"
        return context.teacher(self.teacher)
