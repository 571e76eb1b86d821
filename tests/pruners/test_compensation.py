"""Kept channels make up for removed ones, whatever the network."""

from __future__ import annotations

import pytest
import torch
from tiny import FAMILIES, family, inputs
from torch import nn

from pipeline.model import Model
from pipeline.pruners.compensation import kept_by_norms
from pipeline.pruners.groups import find_groups
from pipeline.pruners.importance import Importance
from pipeline.pruners.moments import moments
from pipeline.pruners.resized import pruned
from pipeline.pruners.structured import Prune
from pipeline.stage import Context


def loss(model: Model, context: Context) -> float:
    """Against the labels of validation images."""
    samples = context.data.validation.normalized_as(model.spec)
    logits_NK = torch.from_numpy(model.logits_NK(samples.x_NCHW()))
    return float(nn.functional.cross_entropy(logits_NK, torch.from_numpy(samples.labels_N)))


@pytest.mark.parametrize("importance", ["l2", "reconstruction"])
def test_less_is_lost(importance: Importance, trained: Model, full_context: Context) -> None:
    cut, made_up = (
        Prune(ratio=0.4, round_to=1, importance=importance, compensate=compensate)(trained, full_context)
        for compensate in (False, True)
    )
    assert made_up.blueprint == cut.blueprint
    assert loss(made_up, full_context) < loss(cut, full_context)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_compensated(name: str, untrained: Model, context: Context) -> None:
    model = Prune(compensate=True, importance="reconstruction")(family(name, untrained), context)
    assert bool(torch.from_numpy(model.logits_NK(inputs(model).numpy())).isfinite().all())
    assert model.state.keys() == model.blueprint.build(model.state).state_dict().keys()


def test_moments_are_of_what_layers_read(trained: Model, context: Context) -> None:
    groups = find_groups(trained.module, trained.spec.shape)
    found = moments(trained, groups, context)
    name = next(layer.name for layer in reversed(groups.layers) if layer.name in found)
    read: list[torch.Tensor] = []
    with trained.module.get_submodule(name).register_forward_pre_hook(lambda _, x: read.append(x[0])):
        samples = context.data.calibration.normalized_as(trained.spec)
        trained.logits_NK(samples.x_NCHW())
    x_PF = torch.cat(read).double()
    torch.testing.assert_close(found[name], x_PF.T @ x_PF / len(x_PF), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "efficientnet_lite0"])
def test_norms_keep_the_channels_that_their_weights_keep(name: str, untrained: Model) -> None:
    model = family(name, untrained)
    groups = find_groups(model.module, model.spec.shape)
    kept = {
        space: torch.arange(0, groups.sizes[space], 2) for space in groups.prunable if len(groups.makers[space]) == 1
    }
    smaller = pruned(model, groups, kept)
    found = kept_by_norms(model, groups, kept)
    for norm, stays in found.items():
        torch.testing.assert_close(smaller.state[f"{norm}.weight"], model.state[f"{norm}.weight"][stays])
    assert any(len(stays) < len(model.state[f"{norm}.weight"]) for norm, stays in found.items())
