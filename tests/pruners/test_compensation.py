"""Kept channels make up for removed ones, whatever the network."""

from __future__ import annotations

import pytest
import torch
from tiny import FAMILIES, family, inputs
from torch import nn

from pipeline.model import Model
from pipeline.pruners.compensation import with_statistics
from pipeline.pruners.groups import find_groups
from pipeline.pruners.importance import Importance
from pipeline.pruners.moments import moments
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


def test_statistics_are_those_of_the_images(trained: Model, context: Context) -> None:
    module = trained.blueprint.build(trained.state)
    norm = next(layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d))
    nn.init.constant_(norm.running_mean, 9.0)  # type: ignore[arg-type]
    read: list[torch.Tensor] = []
    with_statistics(module, trained, context)
    with norm.register_forward_pre_hook(lambda _, x: read.append(x[0])), torch.no_grad():
        module(torch.from_numpy(context.data.calibration.normalized_as(trained.spec).x_NCHW()))
    torch.testing.assert_close(norm.running_mean, torch.cat(read).mean((0, 2, 3)), rtol=0.02, atol=0.02)
