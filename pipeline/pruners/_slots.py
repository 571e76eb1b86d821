"""Which channel may stand where in a network with fewer of them.

A smaller network has *slots* for channels, found by following its filters just as those of the whole
network. A channel may take a slot if it goes to the same places: is read by the same layers, in the
same group of a grouped convolution, the same half of a split. Then the smaller network computes what the
whole one does with the other channels silent, however its operations shuffle them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch

from pipeline.pruners._flow import Flow, Misfit
from pipeline.pruners.channels import Groups

TRIES = 6


def fit(groups: Groups, widths: Mapping[int, int]) -> None:
    """Check that there are channels for the slots of every space.

    Raises:
        Misfit: there are not.
    """
    own = signatures(groups, {})
    for space, slots in signatures(groups, widths).items():
        kinds, wanted = slots.unique(return_counts=True)
        if any(int((own[space] == kind).sum()) < count for kind, count in zip(kinds, wanted.tolist(), strict=True)):
            raise Misfit(groups.makers[space])


def fitting(groups: Groups, widths: Mapping[int, int], step: Mapping[int, int]) -> dict[int, int]:
    """The widths, or the next lower ones that fit.

    Spaces for which there is none near are left out: they have to stay whole.

    Args:
        step: by how much a width is lowered.
    """
    fitted, tries = dict(widths), dict.fromkeys(widths, TRIES)
    while fitted:
        try:
            fit(groups, fitted)
            break
        except Misfit as misfit:
            for space in _concerned(groups, misfit) & fitted.keys() or set(fitted):
                fitted[space] -= step[space]
                tries[space] -= 1
            fitted = {space: width for space, width in fitted.items() if width > 0 and tries[space]}
    return fitted


def _concerned(groups: Groups, misfit: Misfit) -> set[int]:
    """The spaces of a misfit, and those that have their width."""
    own = {space for space, makers in groups.makers.items() if misfit.makers & {*makers}}
    return {space for family in groups.together if own & {*family} for space in family}


def signatures(groups: Groups, widths: Mapping[int, int]) -> dict[int, torch.Tensor]:
    """Of every space the signature of each slot: equal where a channel goes to the same places.

    It is the sum of one random number a place.

    Raises:
        Misfit: the widths do not fit together.
    """
    flow = groups.flow(widths)
    roots = flow.roots
    total = torch.zeros(len(roots), dtype=torch.int64)
    for use in flow.uses.values():
        for role, row_F in (("reads", use.reads), ("makes", use.makes)):
            if row_F is not None:
                total.index_add_(0, roots[row_F], _places(f"{use.name} {role}", len(row_F), use.groups))
    found = {}
    for space, makers in groups.makers.items():
        rows = [roots[first : first + count] for first, count in (flow.made[maker] for maker in makers)]
        if any(not torch.equal(row.sort().values, rows[0].sort().values) for row in rows):
            raise Misfit(makers)
        found[space] = total[rows[0]]
    return found


def _places(name: str, features: int, groups: int) -> torch.Tensor:
    """A number for each feature of an axis; the same for all features of a group."""
    numbers = [_number(f"{name} {group}") for group in range(groups)]
    return torch.tensor(numbers).repeat_interleave(-(-features // groups))[:features]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def origins(groups: Groups, kept: Mapping[int, torch.Tensor]) -> tuple[Flow, torch.Tensor]:
    """The smaller network's flow, and for each of its filters the filter of the whole network that it is.

    Raises:
        Misfit: the kept channels do not fit the slots.
    """
    widths = {space: len(channels) for space, channels in kept.items()}
    whole, smaller = groups.flow({}), groups.flow(widths)
    own, slots = signatures(groups, {}), signatures(groups, widths)
    old, new = whole.roots, smaller.roots
    origin = torch.zeros(len(new), dtype=torch.int64)
    for name, (first, count) in smaller.made.items():
        origin[first : first + count] = whole.made[name][0] + torch.arange(count)
    for space, makers in groups.makers.items():
        channels = kept.get(space, torch.arange(groups.sizes[space]))
        taken = _taken(own[space], slots[space], channels)
        if taken is None:
            raise Misfit(makers)
        root_of_slot, root_of_channel = _row(smaller, makers[0], new), _row(whole, makers[0], old)
        for maker in makers:
            slot = _positions(root_of_slot, _row(smaller, maker, new))
            filter_of_channel = _positions(_row(whole, maker, old), root_of_channel)
            first, count = smaller.made[maker]
            origin[first : first + count] = whole.made[maker][0] + filter_of_channel[taken[slot]]
    return smaller, origin


def _row(flow: Flow, maker: str, roots: torch.Tensor) -> torch.Tensor:
    first, count = flow.made[maker]
    return roots[first : first + count]


def _positions(row: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Where each value stands in a row of distinct ones that holds them all."""
    order = row.argsort()
    return order[torch.searchsorted(row[order], values)]


def _taken(own: torch.Tensor, slots: torch.Tensor, channels: torch.Tensor) -> torch.Tensor | None:
    """The channel of each slot: those of one signature in ascending order; None where they do not fit."""
    channels = channels.sort().values
    by_kind, slot_order = own[channels].argsort(stable=True), slots.argsort(stable=True)
    if not torch.equal(own[channels][by_kind], slots[slot_order]):
        return None
    taken = torch.empty_like(channels)
    taken[slot_order] = channels[by_kind]
    return taken


def sources(whole: torch.Tensor, smaller: torch.Tensor) -> torch.Tensor:
    """Positions on an axis of the whole network from which the features of the smaller one come.

    Where a filter stands on an axis several times, its features keep their order.

    Args:
        whole: filter of each feature. smaller: the same, in the whole network's numbers.
    """
    order = whole.argsort(stable=True)
    starts = torch.searchsorted(whole[order], smaller)
    return order[starts + _nth(smaller)]


def _nth(row: torch.Tensor) -> torch.Tensor:
    """Of each value, how many equal ones stand before it."""
    order = row.argsort(stable=True)
    ranked = row[order]
    nth = torch.empty_like(row)
    nth[order] = torch.arange(len(row)) - torch.searchsorted(ranked, ranked)
    return nth
