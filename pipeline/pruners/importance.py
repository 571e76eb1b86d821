"""How much a channel matters: one score a channel of a group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pipeline.pruners.groups import Groups

if TYPE_CHECKING:
    import torch

Importance = Literal["l2", "l1", "random"]


def scores(
    state: Mapping[str, torch.Tensor], groups: Groups, space: int, importance: Importance, seed: int
) -> torch.Tensor:
    """One non-negative score for each channel of ``space``; removing low ones costs least.

    The norms of all filters that write the channel (Li et al., 2017), each layer's divided by
    its mean, so that no layer of the group outweighs another; "random" is the control.
    """
    import torch

    if importance == "random":
        return torch.rand(groups.sizes[space], generator=torch.Generator().manual_seed(seed + space))
    total = torch.zeros(groups.sizes[space])
    for layer in groups.layers:
        weight = state.get(f"{layer.name}.weight")
        if weight is not None and weight.ndim > 1 and bool((layer.makes.spaces == space).any()):
            norm = weight.flatten(1).norm(p=1 if importance == "l1" else 2, dim=1)
            total.index_add_(0, layer.makes.channels, norm / norm.mean().clamp_min(1e-12))
    return total
