"""A model whose channels are scored: what widths it may have, what they are worth, and the model with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from pipeline.errors import StageFailed
from pipeline.model import Model
from pipeline.pruners.evidence import evidence
from pipeline.pruners.groups import Groups, find_groups
from pipeline.pruners.importance import Importance, scores
from pipeline.pruners.ranking import choose, fitting, step
from pipeline.pruners.resized import pruned
from pipeline.stage import Context
from pipeline.tuners._layers import Layer
from pipeline.tuners._network import layers_of
from pipeline.tuners._table import widths_between
from pipeline.tuners._widths import Unit

MOST_WIDTHS = 16  # that a group may choose from


@dataclass(frozen=True)
class Prunable:
    """A model with its groups.

    Attributes:
        scored: (C,) scores by space. round_to: widths are multiples of this.
    """

    model: Model
    groups: Groups
    scored: Mapping[int, torch.Tensor]
    round_to: int

    @classmethod
    def of(cls, model: Model, importance: Importance, round_to: int, context: Context) -> Prunable:
        """Score a model's channels.

        Raises:
            StageFailed: it cannot be traced, or nothing of it can be pruned.
        """
        groups = find_groups(model.module, model.spec.shape)
        if not groups.prunable:
            raise StageFailed("no channels of this network can be removed")
        tensors = evidence(importance, model, groups, context)
        scored = {space: scores(tensors, groups, space, importance, context.seed) for space in groups.prunable}
        return cls(model, groups, scored, round_to)

    @cached_property
    def layers(self) -> list[Layer]:
        return layers_of(self.model.module, self.model.spec.shape, self.groups)

    @cached_property
    def units(self) -> list[Unit]:
        """Spaces that have one width, with the widths they may have."""
        return [self._unit(spaces) for spaces in self.groups.together]

    def _unit(self, spaces: tuple[int, ...]) -> Unit:
        size = self.groups.sizes[spaces[0]]
        widths = widths_between(size, step(self.groups, spaces[0], self.round_to), MOST_WIDTHS)
        kept = [worth(self.scored[space], widths) for space in spaces]
        return Unit(spaces, widths, tuple(map(sum, zip(*kept, strict=True))))

    def pruned(self, widths: Mapping[int, int]) -> Model:
        """The model with these widths, or the next lower ones that its operations allow, without training."""
        kept = choose(self.groups, self.scored, fitting(self.groups, widths, self.round_to))
        return pruned(self.model, self.groups, kept)


def worth(score_C: torch.Tensor, widths: Sequence[int]) -> list[float]:
    """The logarithm of the share of importance that the best channels keep, for each number of them.

    What passes through a network passes through its groups one after the other, so the shares multiply. Sums
    would empty the groups that cost most time.
    """
    kept_C = score_C.double().sort(descending=True).values.cumsum(0)
    share_C = (kept_C / kept_C[-1].clamp_min(1e-12)).clamp_min(1e-12)
    return share_C.log()[torch.tensor(widths) - 1].tolist()
