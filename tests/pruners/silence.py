"""The other way to lose channels: the whole network, in which they are zero wherever a layer touches them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from tiny import inputs
from torch import nn

from pipeline.model import Model
from pipeline.pruners.cut import Cut
from pipeline.pruners.evidence import evidence
from pipeline.pruners.groups import Features, Groups, find_groups
from pipeline.pruners.resized import pruned
from pipeline.pruners.structured import chosen
from pipeline.stage import Context

Kept = Mapping[int, torch.Tensor]


def assert_exact(model: Model, cut: Cut, context: Context) -> Model | None:
    """What ``cut`` makes of a model, once it answers as the silenced one does; None where all channels stay."""
    groups = find_groups(model.module, model.spec.shape)
    kept = chosen(cut, evidence(cut.importance, model, groups, context), groups, context.seed, groups.sizes)
    if not kept:
        return None
    smaller = pruned(model, groups, kept)
    assert difference(silenced(model, groups, kept), smaller) <= 1e-5
    return smaller


def difference(wanted: nn.Module, smaller: Model) -> float:
    """The largest difference of any logit, as a share of the largest logit where that is above 1."""
    x_NCHW = inputs(smaller)
    with torch.no_grad():
        wanted_NK, found_NK = wanted(x_NCHW), smaller.module(x_NCHW)
    return float((wanted_NK - found_NK).abs().max() / wanted_NK.abs().max().clamp_min(1.0))


def silenced(model: Model, groups: Groups, kept: Kept) -> nn.Module:
    """The whole network, with zeros in what its layers read and make of the channels that go.

    Nothing here is cut, moved or renumbered; the network computes as it always did.
    """
    module = model.blueprint.build(model.state)
    for layer in groups.layers:
        part = module.get_submodule(layer.name)
        makes = mask_of(layer.makes, groups, kept)
        part.register_forward_hook(lambda own, _, y, mask=makes: masked(own, y, mask))
        if layer.reads is not None:
            reads = mask_of(layer.reads, groups, kept)
            part.register_forward_pre_hook(lambda own, x, mask=reads: (masked(own, x[0], mask),))
    return module


def mask_of(features: Features, groups: Groups, kept: Kept) -> torch.Tensor:
    """(F,) 1 where a feature's channel stays, 0 where it goes."""
    mask = torch.ones(len(features.spaces))
    for space in groups.prunable:
        left = kept.get(space, torch.arange(groups.sizes[space]))
        mask[(features.spaces == space) & ~torch.isin(features.channels, left)] = 0
    return mask


def masked(layer: nn.Module, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Channels stand on axis 1, those of linear layers on the last."""
    return x * (mask if isinstance(layer, nn.Linear) else mask.view(-1, *[1] * (x.ndim - 2)))
