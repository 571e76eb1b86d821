"""Transfer: the backbone's features are computed once; then everything is tuned, gently."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from faults import flip_bit
from tiny import fingerprint
from torch import nn

from pipeline.errors import CorruptFile, StageFailed, Terminated, UsageError
from pipeline.model import Model, last_linear
from pipeline.plugin import read
from pipeline.signals import StopSignal
from pipeline.stage import Context
from pipeline.trainers.plan import Plan
from pipeline.trainers.transfer import FILE, Transfer, features

HEAD = Plan(epochs=8, batch=32, lr=0.01, optimizer="adamw", augment="none")
TUNE = Plan(epochs=1, batch=32, lr=0.001, first_layer_lr=0.1, augment="none", freeze_norm=True)


def test_only_the_last_layer_changes_without_tuning(trained: Model, context: Context) -> None:
    moved = Transfer(head=HEAD, tune=None)(trained, context)
    name, _ = last_linear(trained.module)
    before, after = trained.state, moved.state
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {f"{name}.weight", f"{name}.bias"}
    assert not any(layer.training for layer in moved.module.modules())


def test_it_learns_labels_the_backbone_never_saw(trained: Model, full_context: Context) -> None:
    """Other classes for the same features: odd digits or even ones."""
    splits = full_context.data
    parity = [
        replace(part, labels_N=part.labels_N % 2) for part in (splits.train, splits.calibration, splits.validation)
    ]
    data = replace(splits, train=parity[0], calibration=parity[1], validation=parity[2])
    moved = Transfer(head=HEAD, tune=None)(trained, replace(full_context, data=data))
    right_N = moved.logits_NK(data.validation.x_NCHW()).argmax(1) == data.validation.labels_N
    assert right_N.mean() > 0.8


def test_tuning_keeps_the_statistics_and_moves_the_first_layers_least(trained: Model, context: Context) -> None:
    moved = Transfer(head=HEAD, tune=TUNE)(trained, context)
    norms = [key for key in trained.state if "running_" in key]
    assert norms
    assert all(torch.equal(trained.state[key], moved.state[key]) for key in norms)
    assert not torch.equal(trained.state["features.0.0.weight"], moved.state["features.0.0.weight"])


def test_features_reach_the_last_layer(trained: Model, context: Context) -> None:
    name, head = last_linear(trained.module)
    features_NF = features(trained.module, name, context)
    logits_NK = trained.logits_NK(context.data.train.x_NCHW())
    np.testing.assert_allclose(head(features_NF).detach().numpy(), logits_NK, atol=1e-4)


def test_features_are_computed_once(trained: Model, context: Context, tmp_path: Path) -> None:
    name, _ = last_linear(trained.module)
    kept = replace(context, checkpoint=tmp_path)
    first = features(trained.module, name, kept)
    broken = copy.deepcopy(trained.module)
    with torch.no_grad():
        for parameter in broken.parameters():
            parameter.fill_(float("nan"))
    assert torch.equal(features(broken, name, kept), first)
    flip_bit(tmp_path / FILE, 5000)
    with pytest.raises(CorruptFile, match=FILE):
        features(trained.module, name, kept)


@pytest.mark.parametrize("stop_at", [(1, "loss"), (20, "loss"), (2, "tune")])
def test_resumed_is_undisturbed(stop_at: tuple[int, str], trained: Model, context: Context, tmp_path: Path) -> None:
    """Stopped in the head's training or in the tuning, it goes on to the very same weights."""
    stage = Transfer(head=HEAD, tune=TUNE)
    undisturbed = fingerprint(stage(trained, context))
    stop, totals = StopSignal(), []

    def interrupt(done: int, total: int, note: str = "") -> None:
        totals.append(total)
        phase = "tune" if total == 3 and note.startswith("loss") else note[:4]
        if (done, phase) == stop_at:
            stop._received = 15

    with pytest.raises(Terminated):
        stage(trained, replace(context, checkpoint=tmp_path, stop=stop, progress=interrupt))
    resumed = stage(trained, replace(context, checkpoint=tmp_path))
    assert fingerprint(resumed) == undisturbed


def test_the_head_cannot_be_augmented() -> None:
    with pytest.raises(UsageError, match="computed once"):
        read("stage", {"Transfer": {"head": {"augment": "flip"}}}, "here")


def test_a_network_without_a_linear_layer() -> None:
    with pytest.raises(StageFailed, match="no linear layer"):
        last_linear(nn.Sequential(nn.Conv2d(1, 1, 1)))
