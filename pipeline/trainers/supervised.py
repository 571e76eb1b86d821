"""Training on labels."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.model import Model
from pipeline.spec import Positive, Ratio
from pipeline.stage import Context, Stage
from pipeline.trainers.augment import Augmentation, augmentation
from pipeline.trainers.fit import Plan, fit

if TYPE_CHECKING:
    import torch


class Train(Stage):
    """Train all weights on labels, or fine-tune them after pruning.

    Attributes:
        epochs: passes over the training images.
        batch: images a step; smaller data sets use all they have.
        lr: highest learning rate of the one-cycle schedule.
        optimizer: "sgd" (Nesterov momentum 0.9) or "adamw".
        weight_decay: of weights; biases and BatchNorm are not decayed.
        smoothing: label smoothing (Szegedy et al., 2016).
        augment: "affine" (rotate, scale, shift), "flip" (mirror) or "none".
    """

    epochs: Positive = 10
    batch: Positive = 64
    lr: Annotated[float, Field(gt=0)] = 0.06
    optimizer: Literal["sgd", "adamw"] = "sgd"
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    smoothing: Ratio = 0.1
    augment: Augmentation = "affine"

    def plan(self) -> Plan:
        augment = augmentation(self.augment)
        return Plan(self.epochs, self.batch, self.lr, self.weight_decay, augment, self.optimizer)

    def __call__(self, value: Model, context: Context) -> Model:
        from torch.nn import functional as F

        module = copy.deepcopy(value.module).train()

        def loss(x_NCHW: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(module(x_NCHW), labels_N, label_smoothing=self.smoothing)

        fit(module, loss, self.plan(), context)
        return replace(value, module=module.eval(), state=module.state_dict())
