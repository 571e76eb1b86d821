"""Pruning is exact: what is left answers as if the removed channels had been silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import FAMILIES, family, fingerprint, inputs

from pipeline.errors import StageFailed
from pipeline.measure.size import count_macs, count_params
from pipeline.model import Blueprint, Model
from pipeline.plugin import read
from pipeline.pruners.groups import Features, Groups, find_groups
from pipeline.pruners.resized import Resized
from pipeline.pruners.structured import Prune, kept_width
from pipeline.stage import Context


def silenced(model: Model, kept: Mapping[int, torch.Tensor]) -> torch.nn.Module:
    """The unpruned network, in which removed channels are zero wherever a layer reads or makes them."""
    groups = find_groups(model.module, model.spec.shape)
    module = model.blueprint.build(model.state)
    for layer in groups.layers:
        part = module.get_submodule(layer.name)
        makes = mask_of(layer.makes, groups, kept)
        part.register_forward_hook(lambda own, _, y, mask=makes: masked(own, y, mask))
        if layer.reads is not None:
            reads = mask_of(layer.reads, groups, kept)
            part.register_forward_pre_hook(lambda own, x, mask=reads: (masked(own, x[0], mask),))
    return module


def mask_of(features: Features, groups: Groups, kept: Mapping[int, torch.Tensor]) -> torch.Tensor:
    """(F,) 1 where a feature's channel stays, 0 where it goes."""
    mask = torch.ones(len(features.spaces))
    for space in groups.prunable:
        left = kept.get(space, torch.arange(groups.sizes[space]))
        mask[(features.spaces == space) & ~torch.isin(features.channels, left)] = 0
    return mask


def masked(layer: torch.nn.Module, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Channels stand on axis 1, those of linear layers on the last."""
    return x * (mask if isinstance(layer, torch.nn.Linear) else mask.view(-1, *[1] * (x.ndim - 2)))


def assert_exact(model: Model, stage: Prune, context: Context) -> Model:
    pruned = stage(model, context)
    x_NCHW = inputs(model)
    with torch.no_grad():
        kept = stage.kept(find_groups(model.module, model.spec.shape), model, context.seed)
        wanted, found = silenced(model, kept)(x_NCHW), pruned.module(x_NCHW)
    assert (wanted - found).abs().max() <= 1e-5 * max(1.0, float(wanted.abs().max()))
    return pruned


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=4)
@given(
    ratio=st.floats(0.1, 0.9),
    round_to=st.sampled_from([1, 2, 4, 8]),
    importance=st.sampled_from(["l1", "l2", "random"]),
    seed=st.integers(0, 99),
)
def test_exact(
    name: str, ratio: float, round_to: int, importance: str, seed: int, untrained: Model, context: Context
) -> None:
    model = family(name, untrained, seed)
    stage = Prune(ratio=ratio, round_to=round_to, importance=importance)
    before = fingerprint(model)
    try:
        pruned = assert_exact(model, stage, replace(context, seed=seed))
    except StageFailed:
        assert ratio * 8 < round_to  # so little of so few channels that all of them stay
        return
    assert fingerprint(model) == before
    assert count_params(pruned.blueprint) < count_params(model.blueprint)
    assert count_macs(pruned.blueprint, pruned.spec) < count_macs(model.blueprint, model.spec)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_pruned_width_is_round(name: str, untrained: Model, context: Context) -> None:
    model = family(name, untrained)
    pruned = Prune(ratio=0.4, round_to=8)(model, context)
    assert isinstance(pruned.blueprint, Resized)
    shapes = model.state
    for layer, (outputs, _) in pruned.blueprint.widths.items():
        assert outputs % 8 == 0 or outputs == len(shapes[f"{layer}.weight"])


def test_input_and_logits_keep_their_widths(trained: Model, context: Context) -> None:
    pruned = Prune(ratio=0.7)(trained, context)
    with torch.no_grad():
        logits_NK = pruned.module(inputs(trained, 3))
    assert logits_NK.shape == (3, len(trained.classes))
    assert (pruned.spec, pruned.classes) == (trained.spec, trained.classes)


def test_pruning_twice_is_exact_again(untrained: Model, context: Context) -> None:
    once = Prune(ratio=0.3, round_to=2)(family("mobilenet_v3_small", untrained), context)
    twice = assert_exact(once, Prune(ratio=0.3, round_to=2), context)
    assert count_params(twice.blueprint) < count_params(once.blueprint)


def test_important_channels_stay(untrained: Model, context: Context) -> None:
    """Filters made a thousand times smaller are the ones that go."""
    model = family("resnet18", untrained)
    state = {name: tensor.clone() for name, tensor in model.state.items()}
    state["layer1.0.conv1.weight"][::2] *= 1e-3
    state["layer1.0.bn1.bias"][::2] = 0
    state["layer1.0.bn1.running_mean"][::2] = 0
    weakened = replace(model, module=model.blueprint.build(state), state=state)
    pruned = Prune(ratio=0.5, importance="l2")(weakened, context)
    kept = state["layer1.0.bn1.weight"][1::2]
    assert torch.equal(pruned.state["layer1.0.bn1.weight"], kept)


def test_random_is_a_function_of_the_seed(untrained: Model, context: Context) -> None:
    model = family("mobilenet_v2", untrained)
    stage = Prune(ratio=0.5, importance="random")
    first, again, other = (stage(model, replace(context, seed=seed)) for seed in (1, 1, 2))
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)


def test_blueprint_survives_json(untrained: Model, context: Context) -> None:
    pruned = Prune(ratio=0.5)(family("mobilenet_v3_small", untrained), context)
    again = read("blueprint", pruned.blueprint.written(), "here")
    assert again == pruned.blueprint
    assert isinstance(again, Blueprint)
    x_NCHW = inputs(pruned)
    with torch.no_grad():
        assert torch.equal(again.build(pruned.state)(x_NCHW), pruned.module(x_NCHW))


def test_nothing_to_remove_is_an_error(untrained: Model, context: Context) -> None:
    with pytest.raises(StageFailed, match="removed nothing"):
        Prune(ratio=0.01, round_to=4096)(untrained, context)


@given(channels=st.integers(1, 600), ratio=st.floats(0.001, 0.999), round_to=st.sampled_from([1, 4, 8, 16]))
def test_kept_width(channels: int, ratio: float, round_to: int) -> None:
    width = kept_width(channels, ratio, round_to)
    assert 1 <= width <= channels
    assert width % round_to == 0 or width == channels
    assert width == channels or abs(width - channels * (1 - ratio)) <= max(round_to / 2, round_to - 1e-9)
