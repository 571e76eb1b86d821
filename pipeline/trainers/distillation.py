"""Training on a teacher's answers (Hinton et al., 2015)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from pipeline.model import Model
from pipeline.spec import InputSpec, Ratio
from pipeline.stage import Context, Stage
from pipeline.trainers.feed import Batch
from pipeline.trainers.fit import fit, imitation
from pipeline.trainers.outputs import outputs
from pipeline.trainers.plan import Plan

if TYPE_CHECKING:
    import torch

    from pipeline.trainers.fit import Network


class Taught(Plan):
    """How to train on labels and on another network's answers.

    Attributes:
        temperature: softens both answers before they are compared.
        weight: share of the loss that is the other network's answers; the rest is the labels'.
    """

    temperature: Annotated[float, Field(gt=0)] = 3.0
    weight: Ratio = 0.7

    def taught(self, logits_NK: torch.Tensor, targets: torch.Tensor, wanted_NK: torch.Tensor) -> torch.Tensor:
        """The loss: targets are labels (N,) or probabilities (N, K), wanted_NK the other's logits."""
        from torch.nn import functional as F

        hard = F.cross_entropy(logits_NK, targets, label_smoothing=self.smoothing)
        return (1 - self.weight) * hard + self.weight * imitation(logits_NK, wanted_NK, self.temperature)


class Distill(Taught, Stage):
    """Train on the labels and on the answers of another recipe's model.

    Teacher and student see the same crops, changes and mixes (Beyer et al., 2022). Where the
    images are not changed, the teacher answers once for each.

    Attributes:
        teacher: name of the recipe that makes the teacher.
    """

    shared: ClassVar[bool] = True
    teacher: str

    def needs(self) -> tuple[str, ...]:
        return (self.teacher,)

    def __call__(self, value: Model, context: Context) -> Model:
        assert context.teacher is not None, "the run gives every context a teacher"
        teacher = context.teacher(self.teacher)
        answer = self.answers_of(teacher, value, context)

        def loss(network: Network, batch: Batch) -> torch.Tensor:
            return self.taught(network(batch.x_NCHW), batch.targets, answer(batch))

        module = copy.deepcopy(value.module).train()
        fit(module, loss, self, context)
        return replace(value, module=module.eval(), state=module.state_dict())

    def answers_of(self, teacher: Model, student: Model, context: Context) -> Callable[[Batch], torch.Tensor]:
        """The teacher's logits for a batch."""
        import torch

        module = copy.deepcopy(teacher.module).to(context.device).to(memory_format=torch.channels_last)
        if not self.augment:
            train = context.data.train.normalized_as(teacher.spec)
            known_NK = outputs(module, train, context)
            return lambda batch: known_NK[batch.chosen_N.to(known_NK.device)]
        scale, shift = renormalization(student.spec, teacher.spec, context.device)

        def answer(batch: Batch) -> torch.Tensor:
            with torch.no_grad():
                logits_NK: torch.Tensor = module(batch.x_NCHW * scale + shift)
            return logits_NK

        return answer


def renormalization(source: InputSpec, target: InputSpec, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(scale, shift), each (1, C, 1, 1): from one model's normalization to another's."""
    import torch

    mean, std, new_mean, new_std = (
        torch.tensor(values, device=device).view(1, -1, 1, 1)
        for values in (source.mean, source.std, target.mean, target.std)
    )
    return std / new_std, (mean - new_mean) / new_std
