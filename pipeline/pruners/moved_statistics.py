"""BatchNorm statistics of a network whose layers became others: they move as what the norms read moves.

Statistics measured anew would be wrong where a norm's are those of no images: one that only passes on what it reads,
as in the shortcuts of the first residual networks, must not begin to normalize. So the whole network sees the same
images, and only differences count; how these images differ from all others then does not matter either.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pipeline.model import Model
from pipeline.stage import Context
from pipeline.trainers.outputs import outputs

if TYPE_CHECKING:
    import torch
    from torch import nn

    Norm = nn.BatchNorm1d | nn.BatchNorm2d
    Statistics = tuple[torch.Tensor, torch.Tensor]  # (C,) mean and variance


def with_statistics(module: nn.Module, model: Model, kept: Mapping[str, torch.Tensor], context: Context) -> nn.Module:
    """The smaller network, its statistics moved in place, from those that the whole network's channels had.

    Args:
        module: of fewer channels. model: the whole. kept: of every norm, the numbers of its channels that stay.

    Raises:
        Interrupted, Terminated: told to stop.
    """
    whole, smaller = (copy.deepcopy(one).to(context.device).eval() for one in (model.module, module))
    both = Beside(whole, smaller, kept)
    outputs(both, context.data.calibration.normalized_as(model.spec), context, "statistics")
    for name, layer in norms(module).items():
        for own, total in zip(statistics(layer), both.totals[name], strict=True):
            own.copy_(context.ranks.mean(total / both.batches).cpu())
    return module


class Beside:
    """Two networks that see the same images; the second one's statistics follow.

    Attributes:
        totals: sums over batches of the statistics that each norm of the smaller one should have had.
    """

    def __init__(self, whole: nn.Module, smaller: nn.Module, kept: Mapping[str, torch.Tensor]) -> None:
        self.whole, self.smaller, self.kept = whole, smaller, kept
        self.read: dict[str, Statistics] = {}
        self.totals: dict[str, list[torch.Tensor]] = {}
        self.batches = 0
        for name, layer in norms(whole).items():
            layer.register_forward_pre_hook(self._noting(name))
        for name, layer in norms(smaller).items():
            layer.register_forward_pre_hook(self._moving(name, layer))

    def __call__(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        self.batches += 1
        self.whole(x_NCHW)
        logits_NK: torch.Tensor = self.smaller(x_NCHW)
        return logits_NK

    def _noting(self, name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def note(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            self.read[name] = _measured(inputs[0])

        return note

    def _moving(self, name: str, layer: Norm) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        began = [one.clone() for one in statistics(layer)]
        self.totals[name] = [one.new_zeros(one.shape) for one in began]

        def move(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            (mean_C, variance_C), (its_mean_C, its_variance_C) = _measured(inputs[0]), self.read[name]
            stays = self.kept[name].to(mean_C.device)
            # With the norm's epsilon, so that channels that are always zero stay as they are.
            grown_C = (variance_C + layer.eps) / (its_variance_C[stays] + layer.eps)
            moved = began[0] + mean_C - its_mean_C[stays], (began[1] + layer.eps) * grown_C - layer.eps
            for own, total, now in zip(statistics(layer), self.totals[name], moved, strict=True):
                own.copy_(now)
                total += now

        return move


def _measured(x_NC: torch.Tensor) -> Statistics:
    """(C,) mean and variance over images and, if there are, places."""
    x_CP = x_NC.transpose(0, 1).flatten(1)
    return x_CP.mean(1), x_CP.var(1, correction=0)


def norms(module: nn.Module) -> dict[str, Norm]:
    """The BatchNorms that keep statistics, by name."""
    from torch import nn

    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    found = {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}
    return {name: layer for name, layer in found.items() if layer.running_mean is not None}


def statistics(layer: Norm) -> Statistics:
    """Its running mean and variance."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return layer.running_mean, layer.running_var
