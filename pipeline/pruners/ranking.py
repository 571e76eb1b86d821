"""How many channels of every group stay, and which."""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm
from typing import TYPE_CHECKING

from pipeline.errors import StageFailed
from pipeline.pruners.groups import Groups

if TYPE_CHECKING:
    import torch


def fitting(groups: Groups, widths: Mapping[int, int], round_to: int = 1) -> dict[int, int]:
    """The widths, or the next lower ones with which the network's shuffles and groups work out.

    Only networks with such operations ever get other ones. Spaces for which none is near are left out:
    they stay whole.
    """
    from pipeline.pruners._slots import fitting as found

    return found(groups, widths, {space: step(groups, space, round_to) for space in widths})


def step(groups: Groups, space: int, round_to: int) -> int:
    """What the width of a space is a multiple of."""
    return lcm(round_to, groups.multiples[space])


def choose(groups: Groups, scored: Mapping[int, torch.Tensor], widths: Mapping[int, int]) -> dict[int, torch.Tensor]:
    """The channels to keep: the best of every space that its operations allow together.

    Where nothing shuffles channels or convolves them in groups, these are the ``widths[space]`` with the
    highest scores.

    Args:
        scored: (C,) scores by space. widths: how many to keep of each; the others stay whole.

    Raises:
        StageFailed: with these widths the network's shuffles and groups do not work out.
    """
    from pipeline.pruners._flow import Misfit
    from pipeline.pruners._slots import fit, signatures

    try:
        fit(groups, widths)
    except Misfit as misfit:
        raise StageFailed(f"the layers {misfit} cannot have these widths") from None
    own, slots = signatures(groups, {}), signatures(groups, widths)
    return {space: _best(scored[space], own[space], slots[space]) for space in widths}


def _best(score: torch.Tensor, own: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """Of each signature as many channels as there are slots, in ascending order."""
    import torch

    best = []
    for kind, count in zip(*slots.unique(return_counts=True), strict=True):
        channels = (own == kind).nonzero().flatten()
        best.append(channels[score[channels].topk(int(count)).indices])
    return torch.cat(best).sort().values
