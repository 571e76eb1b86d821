"""Filters that were followed through a network, made into spaces of channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import lcm

import torch
from torch import fx, nn

from pipeline.pruners._couples import Couples
from pipeline.pruners._flow import Flow, Use
from pipeline.pruners._slots import fitting
from pipeline.pruners.channels import FROZEN, Features, Groups, Layer


class Walk:
    """A network's flow with any widths; see ``Groups.flow``. The last ones are remembered."""

    def __init__(self, graph: fx.GraphModule, whole: Flow, makers: Mapping[int, tuple[str, ...]]) -> None:
        self.whole, self.makers = whole, makers
        self.walk = lru_cache(maxsize=4)(lambda outputs: walked(graph, dict(outputs)))

    def __call__(self, widths: Mapping[int, int]) -> Flow:
        outputs = frozenset((maker, width) for space, width in widths.items() for maker in self.makers[space])
        return self.walk(outputs) if outputs else self.whole


def walked(graph: fx.GraphModule, outputs: Mapping[str, int] | None = None) -> Flow:
    """The flow of a traced network, with so many filters in the layers named there."""
    flow = Flow(graph, outputs)
    flow.run(enable_io_processing=False)
    return flow


def groups_of(graph: fx.GraphModule, module: nn.Module) -> Groups:
    """The groups of a traced network.

    What an operation would not let be smaller, such as a view with a number of channels written into
    it, is found by trying about half of the channels, and frozen.
    """
    spaces = Spaces(walked(graph))
    spaces.freeze_layers(shared_weights(module))
    while True:
        groups = spaces.groups(graph)
        if not (stubborn := _stubborn(groups)):
            return groups
        spaces.freeze(stubborn)


def _stubborn(groups: Groups) -> set[int]:
    """Spaces for which neither half of the width nor any a little below fits."""
    steps = groups.multiples
    halves = {space: max(size // 2 // steps[space], 1) * steps[space] for space, size in groups.sizes.items()}
    smaller = {space: width for space, width in halves.items() if width < groups.sizes[space]}
    return {*smaller} - {*fitting(groups, smaller, steps)}


def shared_weights(module: nn.Module) -> set[str]:
    """Names of the modules one of whose parameters is known under several names."""
    names: dict[int, list[str]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name.rpartition(".")[0])
    return {name for shared in names.values() if len(shared) > 1 for name in shared}


class Spaces:
    """Spaces of a network: layers whose filters are coupled one to one.

    Attributes:
        makers: the layers of each, by number from 1 on.
        families: spaces that must have one width; those coupled with ``FROZEN`` cannot be pruned.
        multiples: of each space.
    """

    def __init__(self, flow: Flow) -> None:
        self.flow, self.roots = flow, flow.roots
        self.makers = {number: makers for number, makers in enumerate(self._coupled(), 1) if self._one_to_one(makers)}
        self.sizes = {number: flow.made[makers[0]][1] for number, makers in self.makers.items()}
        self.space_of, self.channel_of = torch.zeros_like(self.roots), torch.zeros_like(self.roots)
        for number, makers in self.makers.items():
            row = self.row(makers[0])
            self.space_of[row], self.channel_of[row] = number, torch.arange(len(row))
        self.families, self.multiples = Couples(), dict.fromkeys([FROZEN, *self.makers], 1)
        for filters, parts in self._divided():
            self._divide(filters, parts)

    def freeze(self, spaces: Iterable[int]) -> None:
        """Let these spaces, and those that have their width, never be pruned."""
        self.families.couple({FROZEN, *spaces})

    def freeze_layers(self, names: set[str]) -> None:
        """Freeze all that these layers read and make."""
        for use in self.flow.uses.values():
            for row in (use.reads, use.makes):
                if use.name in names and row is not None:
                    self.freeze(self.space_of[self.roots[row]].tolist())

    def row(self, maker: str) -> torch.Tensor:
        """Roots of a layer's filters."""
        first, count = self.flow.made[maker]
        return self.roots[first : first + count]

    def _coupled(self) -> list[tuple[str, ...]]:
        """Layers that share a root."""
        names, couples = list(self.flow.made), Couples()
        by_root: dict[int, int] = {}
        for number, name in enumerate(names):
            for root in self.row(name).tolist():
                couples.couple((number, by_root.setdefault(root, number) if root != FROZEN else number))
        return [tuple(names[number] for number in found) for found in couples.sets(range(len(names))).values()]

    def _one_to_one(self, makers: tuple[str, ...]) -> bool:
        rows = [self.row(maker).unique() for maker in makers]
        distinct = all(len(row) == self.flow.made[maker][1] for row, maker in zip(rows, makers, strict=True))
        alike = all(torch.equal(row, rows[0]) for row in rows)
        return distinct and alike and FROZEN not in rows[0] and len(rows[0]) > 1  # a lone channel always stays

    def _divided(self) -> list[tuple[torch.Tensor, int]]:
        """Axes that are cut into equal parts, with their number."""
        cuts = [(torch.tensor(sorted(filters)), parts) for filters, parts in self.flow.cuts]
        grouped = [use for use in self.flow.uses.values() if use.groups > 1 and use.reads is not None]
        return cuts + [(row, use.groups) for use in grouped for row in (use.reads, use.makes) if row is not None]

    def _divide(self, filters: torch.Tensor, parts: int) -> None:
        """Spaces that share such an axis have one width."""
        spaces = {*self.space_of[self.roots[filters]].tolist()}
        self.families.couple(spaces if len({self.sizes.get(space) for space in spaces}) == 1 else {FROZEN, *spaces})
        for space in spaces:
            self.multiples[space] = lcm(self.multiples[space], parts)

    def groups(self, graph: fx.GraphModule) -> Groups:
        families = self.families.sets([FROZEN, *self.makers])
        together = tuple(family for least, family in families.items() if least != FROZEN)
        prunable = sorted(space for family in together for space in family)
        steps = {space: lcm(*(self.multiples[one] for one in family)) for family in together for space in family}
        makers = {space: self.makers[space] for space in prunable}
        modules = dict(graph.named_modules())
        self.space_of[~torch.isin(self.space_of, torch.tensor(prunable, dtype=torch.int64))] = FROZEN
        return Groups(
            layers=tuple(self._layer(use, modules[use.name]) for use in self.flow.uses.values()),
            sizes={space: self.sizes[space] for space in prunable},
            makers=makers,
            together=together,
            multiples={space: steps[space] for space in prunable},
            flow=Walk(graph, self.flow, makers),
        )

    def _layer(self, use: Use, module: nn.Module) -> Layer:
        reads = None if use.reads is None else self._features(use.reads)
        return Layer(use.name, form_of(module), reads, self._features(use.makes), use.groups)

    def _features(self, filters: torch.Tensor) -> Features:
        roots = self.roots[filters]
        return Features(self.space_of[roots], self.channel_of[roots])


def form_of(layer: nn.Module) -> str:
    """What kind of layer it is, whatever its widths: ``Conv2d (3, 3) (2, 2) depthwise``."""
    if not isinstance(layer, nn.Conv2d):
        return type(layer).__name__
    kind = "" if layer.groups == 1 else " depthwise" if layer.groups == layer.in_channels else " grouped"
    return f"Conv2d {layer.kernel_size} {layer.stride}{kind}"
