"""Int8 after training."""

from __future__ import annotations

from typing import ClassVar

from pipeline.errors import DataError
from pipeline.model import Model
from pipeline.stage import INT8, Context, Stage


class PostTraining(Stage):
    """Static post-training int8: ranges from calibration images, no training."""

    gives: ClassVar[str] = INT8

    def __call__(self, value: Model, context: Context) -> Model:
        import torch

        from pipeline.quantizers.quantized import calibrate, prepare, quantized

        if not len(context.data.calibration):
            raise DataError("there are no calibration images", "give the data set training images")
        prepared = prepare(value.module, value.spec)
        calibrate(prepared, torch.from_numpy(context.data.calibration.x_NCHW()))
        return quantized(value, prepared)
