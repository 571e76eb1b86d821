"""A pruned network whose kept channels make up for the removed ones, without training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.model import Model
from pipeline.pruners.groups import Groups
from pipeline.pruners.moved_statistics import norms, with_statistics
from pipeline.pruners.reconstruction import MOMENTS, compensation
from pipeline.pruners.resized import operate, pruned
from pipeline.stage import Context

if TYPE_CHECKING:
    import torch


def compensated(
    value: Model,
    groups: Groups,
    kept: Mapping[int, torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    context: Context,
) -> Model:
    """The model with only these channels, its readers refitted, and its BatchNorm statistics moved accordingly.

    Args:
        tensors: evidence of "reconstruction".

    Raises:
        Interrupted, Terminated: told to stop.
    """
    smaller = pruned(value, groups, kept)
    state = {**smaller.state, **dict(refitted(groups, kept, tensors))}
    module = with_statistics(smaller.blueprint.build(state), value, kept_by_norms(value, groups, kept), context)
    return replace(smaller, module=module, state=module.state_dict())


def kept_by_norms(value: Model, groups: Groups, kept: Mapping[int, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The numbers of the channels that stay, of every BatchNorm: cut from all numbers, as weights are."""
    import torch

    tensors = {name: f"{name}.running_mean" for name in norms(value.module)}
    numbers = {tensor: torch.arange(len(value.state[tensor])) for tensor in tensors.values()}
    left, _ = operate(numbers, groups, kept)
    return {name: left[tensor] for name, tensor in tensors.items()}


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
