"""Optimizers with their parameter groups, and the moving average of weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipeline.trainers.plan import Plan

if TYPE_CHECKING:
    import torch
    from torch import nn

# Layers share a learning rate in this many steps from first to last.
LEVELS = 5
STATISTICS = ("running_mean", "running_var")  # BatchNorm's, the only buffers with a mean


def make_optimizer(module: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW; biases and BatchNorm are not decayed."""
    import torch

    groups = list(parameter_groups(module, plan))
    fused = all(parameter.is_cuda for group in groups for parameter in group["params"])
    if plan.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=plan.lr, fused=fused)
    return torch.optim.SGD(groups, lr=plan.lr, momentum=0.9, nesterov=True, fused=fused)


def parameter_groups(module: nn.Module, plan: Plan) -> Iterator[dict[str, Any]]:
    """Parameters by weight decay and by ``share``, their part of the learning rate."""
    decayed: dict[tuple[float, float], list[torch.Tensor]] = {}
    for share, parameter in shares(module, plan.first_layer_lr):
        if parameter.requires_grad:
            decay = plan.weight_decay if parameter.ndim > 1 else 0.0
            decayed.setdefault((share, decay), []).append(parameter)
    for (share, decay), parameters in decayed.items():
        yield {"params": parameters, "weight_decay": decay, "share": share}


def shares(module: nn.Module, first: float) -> Iterator[tuple[float, torch.Tensor]]:
    """Each parameter with its part of the learning rate: ``first`` at the first layer, 1 at the last."""
    layers = [layer for layer in module.modules() if any(True for _ in layer.parameters(recurse=False))]
    for index, layer in enumerate(layers):
        level = round(LEVELS * index / max(1, len(layers) - 1)) / LEVELS
        for parameter in layer.parameters(recurse=False):
            yield first ** (1 - level), parameter


class Average:
    """An exponential moving average of a module's weights and BatchNorm's statistics.

    Everything else is the module's own: counters and switches have no mean, and a quantizer's scale
    and zero point belong together. Early averages forget faster, so that the first random weights
    leave no trace: the decay of the update after step n is at most (1 + n) / (10 + n).

    Attributes:
        module: the averaged twin.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = copy.deepcopy(module), decay
        own, current = self.module.state_dict(), module.state_dict()
        meant = {name for name in own if name.endswith(STATISTICS)} | {name for name, _ in module.named_parameters()}
        self.numbers = [(own[name], current[name]) for name in own if name in meant]
        self.others = [(own[name], current[name]) for name in own if name not in meant]

    def follow(self, step: int) -> None:
        """Move towards the weights that step ``step`` left."""
        from torch.optim.swa_utils import get_ema_multi_avg_fn

        averages, currents = (list(tensors) for tensors in zip(*self.numbers, strict=True))
        get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step)))(averages, currents, step)
        for average, current in self.others:
            average.copy_(current)
