"""Follows filters through a network: its traced graph, run on labels instead of numbers.

Every row of a convolution's or linear layer's weight, here a *filter*, has a number. A tensor of
labels stands for each tensor of the network and says which filter every place comes from. What moves
numbers (views, concatenations, shuffles) moves labels just as well; what adds two tensors couples
the filters that meet. Label ``FROZEN`` stands where filters cannot be followed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import fx, nn

from pipeline.pruners._couples import Couples
from pipeline.pruners._labels import core, expanded, first_row, pairs, tensors_in, tidy
from pipeline.pruners._operations import (
    ASKING,
    MERGING,
    MOVING,
    POINTWISE,
    POOLING,
    PRODUCTS,
    RESHAPING,
    function_operation,
    module_operation,
    moved,
    parts,
    spares_channels,
)
from pipeline.pruners._trace import SHAPE

FROZEN = 0


class Misfit(Exception):
    """Other widths do not fit together, or not with an operation.

    Attributes:
        makers: names of the layers whose channels are concerned.
    """

    def __init__(self, makers: Iterable[str]) -> None:
        self.makers = frozenset(makers)
        super().__init__(", ".join(sorted(self.makers)))


@dataclass(frozen=True)
class Use:
    """One layer, and whose filters stand along its axes.

    Attributes:
        reads: (inputs,) filter of each input feature; None where its channels follow ``makes`` alone.
        makes: (outputs,) filter of each output feature.
        inputs: how many features it reads, whatever ``reads``.
        groups: parts that its inputs and outputs are cut into: a grouped convolution's.
    """

    name: str
    reads: torch.Tensor | None
    makes: torch.Tensor
    inputs: int
    groups: int = 1


class Flow(fx.Interpreter):
    """One walk through the graph, with ``outputs`` filters in the layers named there.

    Attributes:
        uses: every layer with channels, in the order of execution.
        made: number of the first filter of each layer, and how many it has.
        cuts: (filters, parts): an axis of these was cut into so many equal parts, or mixed.
    """

    def __init__(self, graph: fx.GraphModule, outputs: Mapping[str, int] | None = None) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self.outputs = outputs or {}
        self.couples, self.count = Couples(), FROZEN + 1
        self.made: dict[str, tuple[int, int]] = {}
        self.uses: dict[str, Use] = {}
        self.cuts: list[tuple[set[int], int]] = []
        self.node: fx.Node

    @cached_property
    def roots(self) -> torch.Tensor:
        """Of every filter the least number it is coupled with, ``FROZEN`` for the frozen; once the walk is done."""
        return torch.tensor([self.couples.least(number) for number in range(self.count)])

    # --- what the interpreter calls -------------------------------------------------------------

    def run_node(self, n: fx.Node) -> Any:
        self.node = n
        return super().run_node(n)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._frozen()

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._frozen()

    def output(self, target: Any, args: Any, kwargs: Any) -> Any:
        self._freeze(args)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        layer = self.submodules[target]
        if isinstance(layer, nn.Conv2d):
            return self._weighted(target, layer, args[0], axis=1)
        if isinstance(layer, nn.Linear):
            return self._weighted(target, layer, args[0], axis=-1)
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) or (
            isinstance(layer, nn.PReLU) and layer.num_parameters > 1
        ):
            row_C = self._along(args[0], 1)
            return expanded(self._used(Use(target, None, row_C, len(row_C))).makes, 1, args[0].shape)
        return self._operation(module_operation(layer), layer, args, kwargs)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._operation(function_operation(target), target, args, kwargs)

    def call_method(self, target: Any, args: Any, kwargs: Any) -> Any:
        return self._operation(function_operation(target), getattr(torch.Tensor, target), args, kwargs)

    # --- layers with weights --------------------------------------------------------------------

    def _weighted(self, name: str, layer: nn.Conv2d | nn.Linear, labels: torch.Tensor, axis: int) -> torch.Tensor:
        reads = self._along(labels, axis)
        groups, inputs = getattr(layer, "groups", 1), int(layer.weight.shape[1]) * getattr(layer, "groups", 1)
        if 1 < groups == inputs:  # depthwise: every filter reads one channel and is part of it
            makes = reads.repeat_interleave(len(layer.weight) // inputs)
            use = self._used(Use(name, None, makes, len(reads)))
        else:
            use = self._used(Use(name, reads, self._filters(name, len(layer.weight)), len(reads), groups))
        shape = (*labels.shape[:-1], 1) if axis == -1 else (1, 1, *_shape(self.node)[2:])
        return expanded(use.makes, axis, shape)

    def _filters(self, name: str, count: int) -> torch.Tensor:
        """Numbers of a layer's filters; the same ones where a layer is used again."""
        if name not in self.made:
            self.made[name] = (self.count, self.outputs.get(name, count))
            self.count += self.made[name][1]
        first, count = self.made[name]
        return torch.arange(first, first + count)

    def _used(self, use: Use) -> Use:
        """Note a layer; one that is used again couples what both uses read and make."""
        known = self.uses.setdefault(use.name, use)
        for one, other in ((known.reads, use.reads), (known.makes, use.makes)):
            if one is not None and other is not None and one is not other:
                self._merge(one, other)
        return known

    # --- operations without weights -------------------------------------------------------------

    def _operation(self, name: str, run: Any, args: Any, kwargs: Any) -> Any:
        labels = list(tensors_in([args, kwargs]))
        if not labels or name in ASKING:
            return run(*args, **kwargs)
        if name in MERGING:
            return self._merged(name, labels)
        if len(labels) == 1 and name in POINTWISE:
            return labels[0]
        if len(labels) == 1 and name in POOLING and spares_channels(name, labels[0].ndim, args, kwargs):
            return expanded(self._along(labels[0], 1), 1, _shape(self.node))
        return self._moved(name, run, args, kwargs) if name in MOVING else self._unknown([args, kwargs])

    def _merged(self, name: str, labels: list[torch.Tensor]) -> torch.Tensor:
        """A sum or product of labels. One map that weighs all channels is none of them."""
        if len(labels) == 1:  # the other is a number
            return labels[0]
        first, second = labels
        if name in PRODUCTS and first.ndim == second.ndim > 1:
            for one, other in ((first, second), (second, first)):
                if one.shape[1] == 1 < other.shape[1]:
                    self._freeze(one)
                    return other
        self._merge(first, second)
        return first.expand(torch.broadcast_shapes(first.shape, second.shape))

    def _moved(self, name: str, run: Any, args: Any, kwargs: Any) -> Any:
        try:
            result = moved(name, run, args, kwargs)
        except (RuntimeError, TypeError, IndexError, ValueError):
            return self._unknown([args, kwargs])
        before, after = next(tensors_in([args, kwargs])), list(tensors_in(result))
        if name in RESHAPING and after[0].shape[0] != before.shape[0]:  # images would mix
            return self._unknown([args, kwargs])
        if (count := parts(name, before, result, args)) > 1:
            self.cuts.append((set(core(before).flatten().tolist()), count))
        tidied = [tidy(one) for one in after]
        return tidied[0] if isinstance(result, torch.Tensor) else type(result)(tidied)

    def _unknown(self, inputs: Any) -> Any:
        """Freeze what goes in, and mark what comes out as frozen."""
        moving = {label for labels in tensors_in(inputs) for label in core(labels).flatten().tolist()}
        if smaller := self.outputs.keys() & self._makers(moving):
            raise Misfit(smaller)
        self._freeze(inputs)
        return self._frozen()

    # --- labels and couplings -------------------------------------------------------------------

    def _frozen(self) -> Any:
        """Frozen labels for what the node gives."""
        return _frozen(self.node.meta[SHAPE])

    def _along(self, labels: torch.Tensor, axis: int) -> torch.Tensor:
        """The filters along one axis, (F,); those that share a place on it are coupled."""
        row_F = first_row(labels, axis)
        if core(labels).numel() > core(row_F).numel():
            self._merge(labels, expanded(row_F, axis, labels.shape))
        return row_F

    def _freeze(self, values: Any) -> None:
        for labels in tensors_in(values):
            self._merge(labels, torch.tensor(FROZEN))

    def _merge(self, first: torch.Tensor, second: torch.Tensor) -> None:
        """Couple the filters that stand at the same places."""
        try:
            met = pairs(first, second)
        except RuntimeError:
            raise Misfit(self._makers({*core(first).flatten().tolist(), *core(second).flatten().tolist()})) from None
        for pair in met:
            self.couples.couple(pair)

    def _makers(self, filters: set[int]) -> Iterator[str]:
        """Names of the layers that have any of these filters."""
        return (name for name, (first, count) in self.made.items() if any(first <= f < first + count for f in filters))


def _frozen(shape: Any) -> Any:
    if isinstance(shape, list):
        return [_frozen(item) for item in shape]
    return None if shape is None else torch.tensor(FROZEN).expand(shape)


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta[SHAPE])
