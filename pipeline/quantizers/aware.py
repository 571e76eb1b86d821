"""Int8 that is trained in."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from pipeline.model import Model
from pipeline.spec import Positive, Ratio
from pipeline.stage import INT8, Context, Stage
from pipeline.trainers.distillation import Taught
from pipeline.trainers.feed import Batch
from pipeline.trainers.fit import fit

if TYPE_CHECKING:
    import torch

    from pipeline.trainers.fit import Network


class QuantizationAware(Taught, Stage):
    """Quantization-aware training: a few epochs with int8 rounding in the forward pass.

    BatchNorm is folded first, which freezes it. The float model is the teacher. Value ranges
    are followed in the first half of training and stay fixed in the second. A good rate is
    about a tenth of what trained the float model.

    Attributes:
        portable: weights on which no processor saturates: x86 without VNNI answers the same.
    """

    version: ClassVar[int] = 3
    gives: ClassVar[str] = INT8
    shared: ClassVar[bool] = True
    epochs: Positive = 2
    lr: Annotated[float, Field(gt=0)] = 0.003
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    smoothing: Ratio = 0.0
    portable: bool = False

    def __call__(self, value: Model, context: Context) -> Model:
        import torch

        from pipeline.folding import folded
        from pipeline.quantizers._calibration import batches, calibrate, measure_weights
        from pipeline.quantizers.quantized import observe, prepare, quantized

        teacher = copy.deepcopy(value.module).to(context.device)
        prepared = prepare(folded(value.module), value.spec, portable=self.portable)
        calibrate(prepared, batches(context.data.calibration), "moving_average")

        def loss(network: Network, batch: Batch) -> torch.Tensor:
            with torch.no_grad():
                wanted_NK = teacher(batch.x_NCHW)
            return self.taught(network(batch.x_NCHW), batch.targets, wanted_NK)

        def freeze_late(epoch: int) -> None:
            observe(prepared, observing=2 * epoch < self.epochs, quantizing=True)

        fit(prepared, loss, self, context, freeze_late)
        if self.portable:
            measure_weights(prepared)  # training may have moved pairs beyond the range that was fixed
        observe(prepared, observing=False, quantizing=True)
        return quantized(value, prepared)
