"""Training on a teacher's answers (Hinton et al., 2015)."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipeline.model import Model
from pipeline.spec import Ratio
from pipeline.stage import Context, Stage
from pipeline.trainers.feed import Batch
from pipeline.trainers.fit import fit, imitation
from pipeline.trainers.plan import Plan
from pipeline.trainers.teacher import answers_of, on_device, renormalization

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pipeline.trainers.fit import Loss, Network


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

    def imitating(self, teacher: Model, student: Model, context: Context) -> Loss:
        """The loss of a student that sees what the teacher sees."""
        answer = answers_of(teacher, student.spec, bool(self.augment), context)

        def loss(network: Network, batch: Batch) -> torch.Tensor:
            return self.taught(network(batch.x_NCHW), batch.targets, answer(batch))

        return loss


class Distill(Taught, Stage):
    """Train on the labels and on the answers of another recipe's model.

    Teacher and student see the same crops, changes and mixes (Beyer et al., 2022). Where the
    images are not changed, the teacher answers once for each.

    Attributes:
        teacher: name of the recipe that makes the teacher.
        hint: weight of the difference between a map of the student and one of the teacher (FitNets,
            Romero et al., 2015); 1 where the student's map says nothing. 0 leaves it out, and saves
            the teacher from answering more than once.
        hint_at: "last" compares the last maps, the student's through a 1 × 1 convolution that is
            learned and thrown away; "blocks" adds the differences of the maps of all blocks, for a
            student that is its teacher pruned inside of them (``Prune(residuals=False)``).
    """

    shared: ClassVar[bool] = True
    teacher: str
    hint: Annotated[float, Field(ge=0)] = 0.0
    hint_at: Literal["last", "blocks"] = "last"

    def needs(self) -> tuple[str, ...]:
        return (self.teacher,)

    def __call__(self, value: Model, context: Context) -> Model:
        assert context.teacher is not None, "the run gives every context a teacher"
        teacher = context.teacher(self.teacher)
        module = copy.deepcopy(value.module).train()
        if self.hint:
            self._hinted(module, teacher, value, context)
        else:
            fit(module, self.imitating(teacher, value, context), self, context)
        return replace(value, module=module.eval(), state=module.state_dict())

    def _hinted(self, module: nn.Module, teacher: Model, value: Model, context: Context) -> None:
        """Train ``module`` in place, on the teacher's maps besides."""
        import torch

        from pipeline.trainers._hints import Hinted, block_hints, distance, last_hint, with_maps

        torch.manual_seed(context.seed)
        hints_of = last_hint if self.hint_at == "last" else block_hints
        hints = hints_of(value.module, teacher.module, torch.zeros(1, *value.spec.shape))
        whole, its_module = Hinted(module, hints).train(), on_device(teacher, context)
        its_layers = [hint.its_layer for hint in hints]
        renormalized = renormalization(value.spec, teacher.spec, context.device)

        def loss(network: Network, batch: Batch) -> torch.Tensor:
            with torch.no_grad():
                wanted_NK, wanted_maps = with_maps(its_module, its_layers, renormalized(batch.x_NCHW))
            logits_NK, maps = network(batch.x_NCHW)
            apart = [distance(*both) for both in zip(maps, wanted_maps, strict=True)]
            return self.taught(logits_NK, batch.targets, wanted_NK) + self.hint * torch.stack(apart).sum()

        fit(whole, loss, self, context)


def by_blocks(teacher: str, **plan: Any) -> Distill:
    """Distillation by the maps of all blocks, beside which answers say little.

    Args:
        plan: fields of ``Plan``.
    """
    # A temperature makes answers the louder part, and those to images that the teacher knows by heart say nothing.
    return Distill(teacher=teacher, hint=3.0, hint_at="blocks", temperature=1.0, weight=1.0, **plan)
