"""Scores say of a channel what its name promises."""

from __future__ import annotations

import copy
import gc
import weakref
from dataclasses import replace

import pytest
import torch
from tiny import family, hand_made
from torch import nn
from torch.nn import functional as F

from pipeline.model import Model
from pipeline.pruners.evidence import Watched, evidence
from pipeline.pruners.groups import find_groups
from pipeline.pruners.importance import ACTIVATION, TAYLOR, Importance, scores
from pipeline.stage import Context

ALL: list[Importance] = ["l2", "l1", "batch_norm", "taylor", "activation", "reconstruction", "random"]


@pytest.mark.parametrize("importance", ALL)
@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v3_small", "dense"])
def test_one_finite_score_a_channel(importance: Importance, name: str, untrained: Model, context: Context) -> None:
    model = family(name, untrained)
    groups = find_groups(model.module, model.spec.shape)
    tensors = evidence(importance, model, groups, context)
    for space, size in groups.sizes.items():
        score = scores(tensors, groups, space, importance, 0)
        assert score.shape == (size,)
        assert bool(score.isfinite().all())
        assert float(score.min()) >= 0
        assert len(score.unique()) > 1
        assert torch.equal(score, scores(tensors, groups, space, importance, 0))


@pytest.mark.parametrize("importance", ["l2", "l1", "batch_norm", "activation"])
def test_normalized_scores_have_a_mean_of_one(importance: Importance, untrained: Model, context: Context) -> None:
    """So that one threshold can be set for all groups."""
    model = family("resnet18", untrained)
    groups = find_groups(model.module, model.spec.shape)
    tensors = evidence(importance, model, groups, context)
    for space in groups.prunable:
        assert float(scores(tensors, groups, space, importance, 0).mean()) == pytest.approx(1, abs=1e-4)


class Two(nn.Module):
    """A hidden layer of four channels that a linear layer reads after global pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.norm(self.stem(x))).mean([2, 3]))


def two(context: Context) -> Model:
    model = hand_made(Two, edge=16, channels=1)
    return replace(model, spec=context.data.spec, classes=context.data.classes)


def scored(model: Model, importance: Importance, context: Context) -> torch.Tensor:
    groups = find_groups(model.module, model.spec.shape)
    return scores(evidence(importance, model, groups, context), groups, 1, importance, 0)


def test_norms_and_scales_are_those_of_the_weights(context: Context) -> None:
    model = two(context)
    for importance, own in (
        ("l2", model.state["stem.weight"].flatten(1).norm(dim=1)),
        ("l1", model.state["stem.weight"].flatten(1).abs().sum(1)),
        ("batch_norm", model.state["norm.weight"].abs()),
    ):
        torch.testing.assert_close(scored(model, importance, context), own / own.mean())


def test_activation_is_the_mean_of_what_is_read(context: Context) -> None:
    model = two(context)
    x_NCHW = torch.from_numpy(context.data.calibration.x_NCHW())
    with torch.no_grad():
        own = F.relu(model.module.norm(model.module.stem(x_NCHW))).mean([0, 2, 3])
    torch.testing.assert_close(scored(model, "activation", context), own / own.mean(), rtol=1e-4, atol=1e-5)


def test_taylor_is_the_change_of_the_loss_to_first_order(context: Context) -> None:
    """A thousandth of a channel taken away changes each image's loss by a thousandth of what is told."""
    model = two(context)
    x_NCHW, labels_N = (
        torch.from_numpy(context.data.calibration.x_NCHW()),
        torch.from_numpy(context.data.calibration.labels_N),
    )
    with torch.no_grad():
        features_NF = F.relu(model.module.norm(model.module.stem(x_NCHW))).mean([2, 3]).double()
        head = model.module.double().head

        def loss_N(features_NF: torch.Tensor) -> torch.Tensor:
            return F.cross_entropy(head(features_NF), labels_N, reduction="none")

        changes = []
        for channel in range(4):
            less_NF = features_NF.clone()
            less_NF[:, channel] *= 1 - 1e-3
            changes.append((loss_N(features_NF) - loss_N(less_NF)).abs().mean() * 1e3)
        model.module.float()
    torch.testing.assert_close(scored(model, "taylor", context).double(), torch.stack(changes), rtol=0.01, atol=1e-5)


def test_without_batch_norm_its_scale_is_the_norm(untrained: Model, context: Context) -> None:
    model = family("dense", untrained)
    groups = find_groups(model.module, model.spec.shape)
    for space in groups.prunable:
        norm, scale = (scores(model.state, groups, space, importance, 0) for importance in ("l2", "batch_norm"))
        assert torch.equal(norm, scale)


@pytest.mark.parametrize(("importance", "ending"), [("taylor", TAYLOR), ("activation", ACTIVATION)])
def test_evidence_leaves_the_model_alone(importance: Importance, ending: str, trained: Model, context: Context) -> None:
    before = {name: tensor.clone() for name, tensor in trained.state.items()}
    groups = find_groups(trained.module, trained.spec.shape)
    tensors = evidence(importance, trained, groups, context)
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.state.items())
    assert all(parameter.requires_grad for parameter in trained.module.parameters())
    assert not any(layer._forward_pre_hooks for layer in trained.module.modules())
    assert sum(name.endswith(ending) for name in tensors) == sum(layer.reads is not None for layer in groups.layers)


def test_a_batch_is_forgotten_at_once(trained: Model, context: Context) -> None:
    """Gradients need every layer's values; kept over all batches they are gigabytes."""
    groups = find_groups(trained.module, trained.spec.shape)
    module = copy.deepcopy(trained.module)
    watched, values = Watched(module, groups, gradients=True), []
    for layer in groups.layers:
        module.get_submodule(layer.name).register_forward_pre_hook(
            lambda _, inputs: values.append(weakref.ref(inputs[0]))
        )
    gc.disable()
    try:
        watched.see(context.data.calibration, 0)
        assert len(values) >= len(groups.layers) > 0
        assert not [value for value in values if value() is not None]
    finally:
        gc.enable()


def test_weights_need_no_images(trained: Model, context: Context) -> None:
    groups = find_groups(trained.module, trained.spec.shape)
    assert evidence("l2", trained, groups, context) is trained.state
