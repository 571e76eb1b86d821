"""A pruned network whose kept channels make up for the removed ones, without training."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.model import Model
from pipeline.pruners.groups import Groups
from pipeline.pruners.moments import BATCH, moments
from pipeline.pruners.reconstruction import compensation
from pipeline.pruners.resized import pruned
from pipeline.stage import Context

if TYPE_CHECKING:
    import torch
    from torch import nn


def compensated(value: Model, groups: Groups, kept: Mapping[int, torch.Tensor], context: Context) -> Model:
    """The model with only these channels, its readers refitted and its statistics taken anew.

    Raises:
        Interrupted, Terminated: told to stop.
    """
    smaller = pruned(value, groups, kept)
    state = {**smaller.state, **dict(refitted(value, groups, kept, moments(value, groups, context)))}
    module = with_statistics(smaller.blueprint.build(state), smaller, context)
    return replace(smaller, module=module, state=module.state_dict())


def refitted(
    value: Model, groups: Groups, kept: Mapping[int, torch.Tensor], found: Mapping[str, torch.Tensor]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and new weights of the layers that lost inputs.

    Args:
        found: moments of what the layers read of the whole network.
    """
    from pipeline.pruners._slots import origins, sources

    flow, origin = origins(groups, kept)
    whole = groups.flow({}).uses
    for name, moments_FF in found.items():
        use, before = flow.uses[name], whole[name]
        if use.reads is None or before.reads is None:
            continue
        into, out = sources(before.reads, origin[use.reads]), sources(before.makes, origin[use.makes])
        if len(into) < len(moments_FF):
            yield f"{name}.weight", compensation(value.state[f"{name}.weight"][out], into, moments_FF)


def with_statistics(module: nn.Module, model: Model, context: Context) -> nn.Module:
    """The network, with BatchNorm statistics of calibration images."""
    import torch

    seeing = copy.deepcopy(module).to(context.device).eval()
    for layer in norms(seeing).values():
        layer.train().reset_running_stats()
        layer.momentum = None  # the mean over all that is seen
    samples = context.data.calibration.normalized_as(model.spec)
    for start in range(0, len(samples), BATCH):
        with torch.no_grad():
            seeing(torch.from_numpy(samples.x_NCHW(start, start + BATCH)).to(context.device))
        context.stop.check()
    for name, layer in norms(module).items():
        for own, seen in zip(statistics(layer), statistics(norms(seeing)[name]), strict=True):
            own.copy_(context.ranks.mean(seen.cpu()))
    return module


def norms(module: nn.Module) -> dict[str, nn.BatchNorm1d | nn.BatchNorm2d]:
    from torch import nn

    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, kinds)}


def statistics(layer: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[torch.Tensor, ...]:
    """Mean and variance, where it keeps them."""
    return tuple(one for one in (layer.running_mean, layer.running_var) if one is not None)
