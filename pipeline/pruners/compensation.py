"""A pruned network whose kept channels make up for the removed ones, without training."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.model import Model
from pipeline.pruners.groups import Groups
from pipeline.pruners.reconstruction import MOMENTS, compensation
from pipeline.pruners.resized import pruned
from pipeline.stage import Context
from pipeline.trainers.outputs import outputs

if TYPE_CHECKING:
    import torch
    from torch import nn


def compensated(
    value: Model,
    groups: Groups,
    kept: Mapping[int, torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    context: Context,
) -> Model:
    """The model with only these channels, its readers refitted and its statistics taken anew.

    Args:
        tensors: evidence of "reconstruction".

    Raises:
        Interrupted, Terminated: told to stop.
    """
    smaller = pruned(value, groups, kept)
    state = {**smaller.state, **dict(refitted(groups, kept, tensors))}
    module = with_statistics(smaller.blueprint.build(state), smaller, context)
    return replace(smaller, module=module, state=module.state_dict())


def refitted(
    groups: Groups, kept: Mapping[int, torch.Tensor], tensors: Mapping[str, torch.Tensor]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and new weights of the layers that lost inputs."""
    from pipeline.pruners._slots import origins, sources

    flow, origin = origins(groups, kept)
    whole = groups.flow({}).uses
    for name, use in flow.uses.items():
        before, moments_FF = whole[name], tensors.get(f"{name}{MOMENTS}")
        if use.reads is None or before.reads is None or moments_FF is None:
            continue
        into, out = sources(before.reads, origin[use.reads]), sources(before.makes, origin[use.makes])
        if len(into) < len(moments_FF):
            yield f"{name}.weight", compensation(tensors[f"{name}.weight"][out], into, moments_FF)


def with_statistics(module: nn.Module, model: Model, context: Context) -> nn.Module:
    """The network, with BatchNorm statistics of calibration images."""
    seeing = copy.deepcopy(module).to(context.device).eval()
    for layer in norms(seeing).values():
        layer.train().reset_running_stats()
        layer.momentum = None  # the mean over all that is seen
    outputs(seeing, context.data.calibration.normalized_as(model.spec), context, "statistics")
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
