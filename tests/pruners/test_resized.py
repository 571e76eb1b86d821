"""A pruned network is data: rebuilt from its blueprint and its tensors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tiny import FAMILIES, family, inputs

from pipeline.errors import CorruptFile, StageFailed
from pipeline.model import Blueprint, Model
from pipeline.plugin import read
from pipeline.pruners.groups import find_groups
from pipeline.pruners.resized import Resized, operate, resized
from pipeline.pruners.structured import Prune
from pipeline.stage import Context


@pytest.mark.parametrize("name", FAMILIES)
def test_comes_back_from_json_and_safetensors(name: str, untrained: Model, context: Context, tmp_path: Path) -> None:
    smaller = Prune(ratio=0.5, round_to=4)(family(name, untrained), context)
    smaller.save(tmp_path)
    again = Model.load(tmp_path)
    assert again.blueprint == smaller.blueprint
    x_NCHW = inputs(smaller)
    with torch.no_grad():
        assert torch.equal(again.module(x_NCHW), smaller.module(x_NCHW))
    for layer, own in again.module.named_modules():  # what a layer says of itself is what its weights are
        if isinstance(own, torch.nn.Conv2d):
            assert own.weight.shape[:2] == (own.out_channels, own.in_channels // own.groups), layer
        if isinstance(own, torch.nn.BatchNorm2d):
            assert len(own.running_mean) == own.num_features, layer


def test_blueprint_survives_json(untrained: Model, context: Context) -> None:
    smaller = Prune(ratio=0.5)(family("mobilenet_v3_small", untrained), context)
    again = read("blueprint", json.loads(json.dumps(smaller.blueprint.written())), "here")
    assert again == smaller.blueprint
    assert isinstance(again, Blueprint)


def test_resized_again_keeps_one_blueprint(untrained: Model) -> None:
    own = family("resnet18", untrained).blueprint
    twice = resized(resized(own, {"conv1": (12, 3), "fc": (10, 8)}), {"conv1": (8, 3)})
    assert twice == Resized(of=own, widths={"conv1": (8, 3), "fc": (10, 8)})


def test_tensors_of_other_widths_are_refused(untrained: Model, context: Context, tmp_path: Path) -> None:
    Prune()(family("resnet18", untrained), context).save(tmp_path)
    text = (tmp_path / "model.json").read_text()
    assert '"layer1.0.conv1": [\n' in text
    structure = json.loads(text)
    structure["blueprint"]["Resized"]["widths"]["layer1.0.conv1"][0] += 8
    (tmp_path / "model.json").write_text(json.dumps(structure))
    with pytest.raises(CorruptFile, match="does not fit"):
        Model.load(tmp_path)


def test_channels_that_a_shuffle_does_not_allow_are_refused(untrained: Model) -> None:
    """In a half of ShuffleNetV2 the first channels go elsewhere than the last."""
    model = family("shufflenet_v2", untrained)
    groups = find_groups(model.module, model.spec.shape)
    spaces = next(spaces for spaces in groups.together if len(spaces) > 1)
    first = {space: torch.arange(groups.sizes[space] // 2) for space in spaces}
    with pytest.raises(StageFailed, match="cannot be kept without the others"):
        operate(model.state, groups, first)


def test_the_state_that_came_is_left_alone(untrained: Model) -> None:
    model = family("resnet18", untrained)
    before = {name: tensor.clone() for name, tensor in model.state.items()}
    groups = find_groups(model.module, model.spec.shape)
    state, widths = operate(model.state, groups, {1: torch.arange(4)})
    assert len(state["conv1.weight"]) == 4
    assert widths["conv1"] == (4, model.spec.channels)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state.items())
