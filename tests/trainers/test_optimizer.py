"""Parameter groups, and the moving average of weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.model import Model
from pipeline.trainers.optimizer import Average, make_optimizer
from pipeline.trainers.plan import Plan


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_biases_and_norms_are_not_decayed(optimizer: str, untrained: Model) -> None:
    groups = make_optimizer(untrained.module, Plan(optimizer=optimizer, weight_decay=5e-4)).param_groups
    by_decay = {group["weight_decay"]: group["params"] for group in groups}
    assert by_decay.keys() == {5e-4, 0}
    assert all(parameter.ndim > 1 for parameter in by_decay[5e-4])
    assert sum(map(len, by_decay.values())) == len(list(untrained.module.parameters()))


def test_the_first_layer_learns_slowest() -> None:
    module = nn.Sequential(*(nn.Linear(2, 2) for _ in range(12)))
    groups = make_optimizer(module, Plan(first_layer_lr=0.01)).param_groups
    share = {id(parameter): group["share"] for group in groups for parameter in group["params"]}
    in_order = [share[id(layer.weight)] for layer in module]
    assert in_order == sorted(in_order)
    assert (in_order[0], in_order[-1]) == (0.01, 1.0)
    assert len(set(in_order)) == 6
    assert all(share[id(layer.bias)] == share[id(layer.weight)] for layer in module)


def test_what_is_frozen_is_not_trained() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].requires_grad_(False)
    groups = make_optimizer(module, Plan()).param_groups
    assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in module[1].parameters()}


def test_the_average_follows_and_forgets_the_first_weights_early() -> None:
    module = nn.BatchNorm1d(1)
    average = Average(module, 0.999)
    for step, value in enumerate((5.0, 1.0, 1.0, 1.0, 1.0)):
        with torch.no_grad():
            module.weight.fill_(value)
            module.running_mean.fill_(value)
            module.num_batches_tracked.fill_(int(value))
        average.follow(step)
    followed = average.module.state_dict()
    assert 1 < followed["weight"].item() < 1.1
    assert followed["running_mean"].item() == pytest.approx(followed["weight"].item(), abs=0.01)
    assert followed["num_batches_tracked"].item() == 1


def test_a_steady_average_has_its_decay() -> None:
    module = nn.Linear(1, 1, bias=False)
    average = Average(module, 0.75)
    with torch.no_grad():
        average.module.weight.fill_(1.0)
        module.weight.fill_(0.0)
    average.follow(10_000)
    assert average.module.weight.item() == pytest.approx(0.75)
    assert module.weight.item() == 0
