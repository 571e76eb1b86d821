"""How much a channel matters: one score a channel of a group, a pure function of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from pipeline.pruners.channels import Features, Groups, Layer
from pipeline.pruners.reconstruction import errors

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

Importance = Literal["l2", "l1", "batch_norm", "taylor", "activation", "reconstruction", "random"]
# Tensors that ``evidence.py`` adds to the weights, one a layer that reads channels: (N, F) and (F,).
TAYLOR, ACTIVATION = ".taylor", ".activation"


def scores(tensors: State, groups: Groups, space: int, importance: Importance, seed: int) -> torch.Tensor:
    """One non-negative score for each channel of ``space``; removing low ones costs least.

    Args:
        tensors: the network's state; for "taylor" and "activation" what ``evidence`` makes of it.
        importance: "l2" and "l1" are norms of all filters that write the channel (Li et al., 2017), "batch_norm"
            the scales that multiply it (Liu et al., 2017), norms where there are none, "activation" the mean
            absolute value that the next layers receive. Each layer's scores are divided by their mean, so that no
            layer outweighs another, and averaged. "taylor" is the change of the loss, to first order, if all
            that read the channel read zeros (Molchanov et al., 2019): the mean of its size over images,
            comparable between groups as it is. "reconstruction" is what the answers hear of errors that the
            layers which read the channel cannot make up for; see ``reconstruction.errors``; norms where those layers
            are too wide or grouped. "random" is the control.

    Returns:
        (C,) float32.
    """
    import torch

    size = groups.sizes[space]
    if importance == "random":
        return torch.rand(size, generator=torch.Generator().manual_seed(seed + space))
    if importance == "taylor":
        return _changes(tensors, groups, space).abs().mean(0)
    if importance == "reconstruction" and (error_C := errors(tensors, groups, space)) is not None:
        return error_C
    found = list(_parts(tensors, groups, space, importance))
    if not found and importance in ("batch_norm", "reconstruction"):
        found = list(_parts(tensors, groups, space, "l2"))
    total = torch.zeros(size)
    for features, value in found:
        total.index_add_(0, features.channels, value / value.mean().clamp_min(1e-12) / len(found))
    return total


def _parts(
    tensors: State, groups: Groups, space: int, importance: Importance
) -> Iterator[tuple[Features, torch.Tensor]]:
    """Each layer's word on the channels of a space: whose, and how much, by feature."""
    for layer in groups.layers:
        features = layer.reads if importance == "activation" else layer.makes
        if features is None or not bool((own := features.spaces == space).any()):
            continue
        value = _value(tensors, layer, importance)
        if value is not None:
            yield Features(features.spaces[own], features.channels[own]), value[own]


def _value(tensors: State, layer: Layer, importance: Importance) -> torch.Tensor | None:
    """(F,) what a layer says of each feature; None where it is not asked."""
    if importance == "activation":
        return tensors.get(f"{layer.name}{ACTIVATION}")
    weight = tensors.get(f"{layer.name}.weight")
    if weight is None or (weight.ndim < 2) != (importance == "batch_norm") or importance == "reconstruction":
        return None
    if importance == "batch_norm":
        return weight.abs() if layer.form.startswith("BatchNorm") else None
    norm: torch.Tensor = weight.flatten(1).norm(p=1 if importance == "l1" else 2, dim=1)
    return norm


def _changes(tensors: State, groups: Groups, space: int) -> torch.Tensor:
    """(N, C) change of each image's loss, to first order, without each channel of a space."""
    import torch

    total = torch.zeros(0)
    for layer in groups.layers:
        change_NF = tensors.get(f"{layer.name}{TAYLOR}")
        if layer.reads is not None and change_NF is not None:
            own = layer.reads.spaces == space
            total = total if len(total) else torch.zeros(len(change_NF), groups.sizes[space])
            total.index_add_(1, layer.reads.channels[own], change_NF[:, own])
    return total
