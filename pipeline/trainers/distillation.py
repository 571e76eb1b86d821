"""Training on a teacher's answers (Hinton et al., 2015)."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.model import Model
from pipeline.spec import Ratio
from pipeline.stage import Context
from pipeline.trainers.fit import fit, imitation
from pipeline.trainers.supervised import Train

if TYPE_CHECKING:
    import torch


class Distill(Train):
    """Train on the labels and on the answers of another recipe's model.

    Teacher and student see the same augmented images (Beyer et al., 2022).

    Attributes:
        teacher: name of the recipe that makes the teacher.
        temperature: softens both answers before they are compared.
        weight: share of the loss that is the teacher's; the rest is the labels'.
    """

    teacher: str
    temperature: Annotated[float, Field(gt=0)] = 3.0
    weight: Ratio = 0.7

    def needs(self) -> tuple[str, ...]:
        return (self.teacher,)

    def __call__(self, value: Model, context: Context) -> Model:
        import torch
        from torch.nn import functional as F

        assert context.teacher is not None, "the run gives every context a teacher"
        teacher = copy.deepcopy(context.teacher(self.teacher).module).to(context.device)
        module = copy.deepcopy(value.module).train()

        def loss(x_NCHW: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                wanted_NK = teacher(x_NCHW)
            logits_NK = module(x_NCHW)
            hard = F.cross_entropy(logits_NK, labels_N, label_smoothing=self.smoothing)
            return (1 - self.weight) * hard + self.weight * imitation(logits_NK, wanted_NK, self.temperature)

        fit(module, loss, self.plan(), context)
        return replace(value, module=module.eval(), state=module.state_dict())
