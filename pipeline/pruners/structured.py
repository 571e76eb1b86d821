"""Remove whole channels: the network really gets smaller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pipeline.errors import StageFailed
from pipeline.model import Model
from pipeline.pruners.compensation import compensated
from pipeline.pruners.cut import Cut
from pipeline.pruners.evidence import evidence, with_moments
from pipeline.pruners.groups import Groups, find_groups
from pipeline.pruners.importance import scores
from pipeline.pruners.ranking import choose, ranked
from pipeline.pruners.resized import pruned
from pipeline.stage import Context, Stage

if TYPE_CHECKING:
    import torch


class Prune(Cut, Stage):
    """Remove the least important channels, without training.

    Follow it with ``Train`` or ``Distill`` to win the accuracy back.
    """

    version: ClassVar[int] = 3

    def __call__(self, value: Model, context: Context) -> Model:
        groups = find_groups(value.module, value.spec.shape)
        smaller = cut_down(self, value, groups, context, groups.sizes)
        if smaller is None:
            raise StageFailed("pruning removed nothing", "raise ratio, or lower round_to")
        return smaller


def inside_blocks(ratio: float, round_to: int = 8) -> Prune:
    """The cut after which every block can be led by its teacher's (``trainers.distillation.by_blocks``)."""
    return Prune(ratio=ratio, round_to=round_to, importance="reconstruction", residuals=False, compensate=True)


def cut_down(cut: Cut, value: Model, groups: Groups, context: Context, full: Mapping[int, int]) -> Model | None:
    """The model after a cut; None where rounding leaves it all channels.

    Args:
        full: channels of each space that the ratio is a share of.

    Raises:
        StageFailed: the ratio would empty a layer.
    """
    tensors = evidence(cut.importance, value, groups, context)
    kept = chosen(cut, tensors, groups, context.seed, full)
    if not kept:
        return None
    if not cut.compensate:
        return pruned(value, groups, kept)
    if cut.importance != "reconstruction":
        tensors = with_moments(value, groups, context)
    return compensated(value, groups, kept, tensors, context)


def chosen(
    cut: Cut, tensors: Mapping[str, torch.Tensor], groups: Groups, seed: int, full: Mapping[int, int]
) -> dict[int, torch.Tensor]:
    """The channels to keep, by space; spaces that stay whole are left out.

    Args:
        tensors: evidence of the cut's importance. full: channels of each space that the ratio is a share of.

    Raises:
        StageFailed: the ratio would empty a layer.
    """
    scored = {space: scores(tensors, groups, space, cut.importance, seed) for space in groups.prunable}
    widths = ranked(groups, scored, cut, full)
    if not cut.residuals:
        widths = {space: width for space, width in widths.items() if len(groups.makers[space]) == 1}
    return choose(groups, scored, widths)
