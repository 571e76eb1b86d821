"""Int8 that is trained in."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from pipeline.model import Model
from pipeline.spec import Positive, Ratio
from pipeline.stage import INT8, Context, Stage
from pipeline.trainers.augment import Augmentation, augmentation
from pipeline.trainers.fit import Plan, fit, imitation

if TYPE_CHECKING:
    import torch


class QuantizationAware(Stage):
    """Quantization-aware training: a few epochs with int8 rounding in the forward pass.

    BatchNorm is folded first, which freezes it. The float model is the teacher. Value ranges
    are followed in the first half of training and stay fixed in the second.

    Attributes:
        epochs: passes over the training images.
        lr: highest learning rate; about a tenth of what trained the float model.
        batch: images a step; smaller data sets use all they have.
        weight: share of the loss that is the float model's answers.
        temperature: softens both answers before they are compared.
        augment: "affine" (rotate, scale, shift), "flip" (mirror) or "none".
    """

    gives: ClassVar[str] = INT8
    epochs: Positive = 2
    batch: Positive = 64
    lr: Annotated[float, Field(gt=0)] = 0.003
    weight: Ratio = 0.7
    temperature: Annotated[float, Field(gt=0)] = 3.0
    augment: Augmentation = "affine"

    def __call__(self, value: Model, context: Context) -> Model:
        import torch
        from torch.nn import functional as F

        from pipeline.quantizers.quantized import calibrate, observe, prepare, quantized

        teacher = copy.deepcopy(value.module).to(context.device)
        prepared = prepare(value.module, value.spec)
        calibrate(prepared, torch.from_numpy(context.data.calibration.x_NCHW()))

        def loss(x_NCHW: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                wanted_NK = teacher(x_NCHW)
            logits_NK = prepared(x_NCHW)
            soft = imitation(logits_NK, wanted_NK, self.temperature)
            return (1 - self.weight) * F.cross_entropy(logits_NK, labels_N) + self.weight * soft

        def freeze_late(epoch: int) -> None:
            observe(prepared, observing=2 * epoch < self.epochs, quantizing=True)

        plan = Plan(self.epochs, self.batch, self.lr, 0.0, augmentation(self.augment))
        fit(prepared, loss, plan, context, freeze_late)
        observe(prepared, observing=False, quantizing=True)
        return quantized(value, prepared)
