"""How many channels of every group stay, and which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import lcm
from typing import TYPE_CHECKING

from pipeline.errors import StageFailed
from pipeline.pruners.channels import Groups
from pipeline.pruners.cut import Cut

if TYPE_CHECKING:
    import torch

    Scores = Mapping[int, torch.Tensor]  # (C,) by space
    Widths = Mapping[int, int]  # by space


def ranked(groups: Groups, scored: Scores, cut: Cut, full: Widths) -> dict[int, int]:
    """How many channels of each space to keep.

    Args:
        full: channels of each space that the cut's ratio is a share of: before the first of several steps.

    Raises:
        StageFailed: the ratio would empty a layer; says the largest that does not.
    """
    if not groups.sizes:
        return {}
    if cut.ranking == "local":
        _leave_some(groups, cut.ratio, full)
        wanted = {s: kept_width(full[s], cut.ratio, step(groups, s, cut.round_to)) for s in groups.sizes}
    else:
        wanted = {}
        for families in _compared(groups, cut):
            wanted |= _by_threshold(groups, families, scored, cut, full)
    smaller = {space: width for space, width in wanted.items() if width < groups.sizes[space]}
    return fitting(groups, smaller, cut.round_to)


def kept_width(channels: int, ratio: float, round_to: int) -> int:
    """How many channels stay: rounded to a multiple, at least one multiple, at most all.

    >>> kept_width(96, 0.5, 8), kept_width(20, 0.9, 8), kept_width(6, 0.5, 8)
    (48, 8, 6)
    """
    return rounded(channels * (1 - ratio), channels, round_to)


def rounded(wanted: float, channels: int, round_to: int) -> int:
    """The multiple next to ``wanted``, at least one, at most all channels."""
    return min(channels, max(round_to, round(wanted / round_to) * round_to))


def step(groups: Groups, space: int, round_to: int) -> int:
    """What the width of a space is a multiple of.

    Equal parts, such as the groups of a convolution, come first where a multiple of both is too coarse.
    """
    both = lcm(round_to, groups.multiples[space])
    return both if 2 * both <= groups.sizes[space] or both == round_to else groups.multiples[space]


def _leave_some(groups: Groups, ratio: float, full: Widths) -> None:
    narrowest = min(groups.sizes, key=lambda space: full[space])
    if (channels := full[narrowest]) * (1 - ratio) <= 0.5:
        cause = f"ratio {ratio:g} would leave nothing of the {channels} channels of {groups.makers[narrowest][0]}"
        largest = int(1000 * (1 - 0.5 / channels) - 1e-9) / 1000
        raise StageFailed(cause, f"the largest ratio possible is {largest:g}; or use ranking: global")


def _compared(groups: Groups, cut: Cut) -> Iterator[list[tuple[int, ...]]]:
    """Families of spaces whose channels are ranked together."""
    if cut.ranking == "global":
        yield list(groups.together)
        return
    alike: dict[str, list[tuple[int, ...]]] = {}
    for family in groups.together:
        alike.setdefault(topology(groups, family), []).append(family)
    yield from alike.values()


def topology(groups: Groups, family: tuple[int, ...]) -> str:
    """The kinds of layers that make and read these spaces, in order; what isomorphic groups share.

    Fang et al., "Isomorphic pruning for vision models" (2024).
    """
    import torch

    spaces, found = torch.tensor(family), []
    for layer in groups.layers:
        for role, features in (("reads", layer.reads), ("makes", layer.makes)):
            if features is not None and bool(torch.isin(features.spaces, spaces).any()):
                found.append(f"{role} {layer.form}")
    return ", ".join(found)


def _by_threshold(
    groups: Groups, families: list[tuple[int, ...]], scored: Scores, cut: Cut, full: Widths
) -> dict[int, int]:
    """Widths of these families by one threshold, that leaves the share of their channels asked for.

    Rounded widths move in steps, so the threshold is found by bisection.
    """
    import torch

    spaces = [space for family in families for space in family]
    pool = torch.cat([scored[space] for space in spaces]).sort().values
    allowed = (1 - cut.ratio) * sum(full[space] for space in spaces)

    def widths(threshold: float) -> dict[int, int]:
        found: dict[int, int] = {}
        for family in families:
            above = sum(int((scored[space] >= threshold).sum()) for space in family) / len(family)
            width = rounded(above, groups.sizes[family[0]], step(groups, family[0], cut.round_to))
            found |= dict.fromkeys(family, width)
        return found

    low, high = 0, len(pool) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if sum(widths(float(pool[middle])).values()) <= allowed else (middle + 1, high)
    return widths(float(pool[low]))


def fitting(groups: Groups, widths: Widths, round_to: int = 1) -> dict[int, int]:
    """The widths, or the next lower ones with which the network's shuffles and groups work out.

    Only networks with such operations ever get other ones. Spaces for which none is near are left out:
    they stay whole.
    """
    from pipeline.pruners._slots import fitting as found

    return found(groups, widths, {space: step(groups, space, round_to) for space in widths})


def choose(groups: Groups, scored: Scores, widths: Widths) -> dict[int, torch.Tensor]:
    """The channels to keep: the best of every space that its operations allow together.

    Where nothing shuffles channels or convolves them in groups, these are the ``widths[space]`` with the
    highest scores.

    Args:
        widths: how many to keep of each space; the others stay whole.

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
