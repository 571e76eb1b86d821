"""Remove whole channels: the network really gets smaller."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.errors import StageFailed
from pipeline.model import Model
from pipeline.pruners.groups import Groups, find_groups
from pipeline.pruners.importance import Importance, scores
from pipeline.pruners.ranking import choose, fitting, step
from pipeline.pruners.resized import operate, resized
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
        state, widths = operate(value.state, groups, self.kept(groups, value, context.seed))
        if not widths:
            raise StageFailed("pruning removed nothing", "raise ratio, or lower round_to")
        blueprint = resized(value.blueprint, widths)
        return replace(value, module=blueprint.build(state), blueprint=blueprint, state=state)

    def kept(self, groups: Groups, value: Model, seed: int) -> dict[int, torch.Tensor]:
        """The channels to keep, by space."""
        scored = {space: scores(value.state, groups, space, self.importance, seed) for space in groups.prunable}
        wanted = {
            space: kept_width(size, self.ratio, step(groups, space, self.round_to))
            for space, size in groups.sizes.items()
        }
        return choose(groups, scored, fitting(groups, wanted, self.round_to))


def kept_width(channels: int, ratio: float, round_to: int) -> int:
    """How many channels stay: rounded to a multiple, at least one multiple, at most all.

    >>> kept_width(96, 0.5, 8), kept_width(20, 0.9, 8), kept_width(6, 0.5, 8)
    (48, 8, 6)
    """
    wanted = round(channels * (1 - ratio) / round_to) * round_to
    return min(channels, max(round_to, wanted))
