"""Remove whole channels: the network really gets smaller."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.errors import StageFailed
from pipeline.model import Model
from pipeline.pruners.groups import find_groups
from pipeline.pruners.importance import Importance, scores
from pipeline.pruners.resized import Resized, operate
from pipeline.spec import Positive
from pipeline.stage import Context, Stage

if TYPE_CHECKING:
    import torch


class Prune(Stage):
    """Remove the least important channels of every group, without training.

    Follow it with ``Train`` or ``Distill`` to win the accuracy back.

    Attributes:
        ratio: share of the channels to remove, of every group.
        round_to: kept widths are multiples of this, as kernels like them.
        importance: "l2" or "l1" filter norms, or "random" as a control.
    """

    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    round_to: Positive = 8
    importance: Importance = "l2"

    def __call__(self, value: Model, context: Context) -> Model:
        groups = find_groups(value.module, value.spec.shape)
        kept: dict[int, torch.Tensor] = {}
        for space in groups.prunable:
            score = scores(value.state, groups, space, self.importance, context.seed)
            width = kept_width(len(score), self.ratio, self.round_to)
            kept[space] = score.topk(width).indices.sort().values
        state, widths = operate(value.state, groups, kept)
        if not widths:
            raise StageFailed("pruning removed nothing", "raise ratio, or lower round_to")
        blueprint = Resized(of=value.blueprint, widths=widths)
        return replace(value, module=blueprint.build(state), blueprint=blueprint, state=state)


def kept_width(channels: int, ratio: float, round_to: int) -> int:
    """How many channels stay: rounded to a multiple, at least one multiple, at most all.

    >>> kept_width(96, 0.5, 8), kept_width(20, 0.9, 8), kept_width(6, 0.5, 8)
    (48, 8, 6)
    """
    wanted = round(channels * (1 - ratio) / round_to) * round_to
    return min(channels, max(round_to, wanted))
