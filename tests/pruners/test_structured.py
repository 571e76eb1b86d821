"""Pruning is exact: what is left answers as if the removed channels had been silent."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from silence import assert_exact, difference, silenced
from tiny import FAMILIES, family, fingerprint, inputs

from pipeline.errors import StageFailed
from pipeline.measure.size import count_macs, count_params
from pipeline.model import Model
from pipeline.pruners.groups import find_groups
from pipeline.pruners.resized import Resized, pruned
from pipeline.pruners.structured import Prune, chosen
from pipeline.stage import Context


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=3)
@given(
    ratio=st.floats(0.1, 0.9),
    round_to=st.sampled_from([1, 2, 4, 8]),
    importance=st.sampled_from(["l1", "l2", "batch_norm", "taylor", "activation", "random"]),
    ranking=st.sampled_from(["local", "global", "isomorphic"]),
    seed=st.integers(0, 99),
)
def test_exact(
    name: str,
    ratio: float,
    round_to: int,
    importance: str,
    ranking: str,
    seed: int,
    untrained: Model,
    context: Context,
) -> None:
    model, context = family(name, untrained, seed), replace(context, seed=seed)
    stage = Prune(ratio=ratio, round_to=round_to, importance=importance, ranking=ranking)
    before = fingerprint(model)
    smaller = assert_exact(model, stage, context)
    if smaller is None:
        assert ratio * 8 < round_to  # so little of so few channels that all of them stay
        return
    assert fingerprint(model) == before
    assert count_params(smaller.blueprint) < count_params(model.blueprint)
    assert count_macs(smaller.blueprint, smaller.spec) < count_macs(model.blueprint, model.spec)


@pytest.mark.parametrize("name", FAMILIES)
def test_half_of_the_channels_of_every_family(name: str, untrained: Model, context: Context) -> None:
    """Every layer but the last gets smaller, and every width is round."""
    model = family(name, untrained)
    smaller = assert_exact(model, Prune(), context)
    assert isinstance(smaller.blueprint, Resized)
    for layer, (outputs, _) in smaller.blueprint.widths.items():
        assert outputs % 8 == 0 or outputs == len(model.state[f"{layer}.weight"])
    weights = [layer for layer, part in model.module.named_modules() if isinstance(part, torch.nn.Conv2d)]
    wide = [layer for layer in weights if len(model.state[f"{layer}.weight"]) >= 16]
    assert all(len(smaller.state[f"{layer}.weight"]) < len(model.state[f"{layer}.weight"]) for layer in wide)


def test_the_stage_does_what_was_proved(untrained: Model, context: Context) -> None:
    model, stage = family("mobilenet_v3_small", untrained), Prune(ratio=0.4, importance="taylor", ranking="global")
    assert fingerprint(stage(model, context)) == fingerprint(assert_exact(model, stage, context))


def test_the_reference_can_fail(untrained: Model, context: Context) -> None:
    """One channel taken for another is seen."""
    model = family("resnet18", untrained)
    groups = find_groups(model.module, model.spec.shape)
    kept = chosen(Prune(), model.state, groups, context.seed, groups.sizes)
    others = {**kept, 1: torch.arange(groups.sizes[1])[-len(kept[1]) :]}
    assert not torch.equal(kept[1], others[1])
    assert difference(silenced(model, groups, kept), pruned(model, groups, kept)) <= 1e-5
    assert difference(silenced(model, groups, kept), pruned(model, groups, others)) > 1e-3


def test_input_and_logits_keep_their_widths(trained: Model, context: Context) -> None:
    smaller = Prune(ratio=0.7)(trained, context)
    with torch.no_grad():
        logits_NK = smaller.module(inputs(trained, 3))
    assert logits_NK.shape == (3, len(trained.classes))
    assert (smaller.spec, smaller.classes) == (trained.spec, trained.classes)


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet50", "shufflenet_v2"])
def test_pruning_twice_is_exact_again(name: str, untrained: Model, context: Context) -> None:
    first = Prune(ratio=0.3, round_to=2)(family(name, untrained), context)
    second = assert_exact(first, Prune(ratio=0.3, round_to=2), context)
    assert count_params(second.blueprint) < count_params(first.blueprint)
    assert isinstance(second.blueprint, Resized)
    assert second.blueprint.of.kind == "Network"  # one blueprint of the last widths, however often it was pruned


def test_important_channels_stay(untrained: Model, context: Context) -> None:
    """Filters made a thousand times smaller are the ones that go."""
    model = family("resnet18", untrained)
    state = {name: tensor.clone() for name, tensor in model.state.items()}
    state["layer1.0.conv1.weight"][::2] *= 1e-3
    state["layer1.0.bn1.bias"][::2] = 0
    state["layer1.0.bn1.running_mean"][::2] = 0
    weakened = replace(model, module=model.blueprint.build(state), state=state)
    smaller = Prune(ratio=0.5, importance="l2")(weakened, context)
    kept = state["layer1.0.bn1.weight"][1::2]
    assert torch.equal(smaller.state["layer1.0.bn1.weight"], kept)


def test_random_is_a_function_of_the_seed(untrained: Model, context: Context) -> None:
    model = family("mobilenet_v2", untrained)
    stage = Prune(ratio=0.5, importance="random")
    first, again, other = (stage(model, replace(context, seed=seed)) for seed in (1, 1, 2))
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)


def test_nothing_to_remove_is_an_error(untrained: Model, context: Context) -> None:
    with pytest.raises(StageFailed, match="removed nothing"):
        Prune(ratio=0.01, round_to=4096)(untrained, context)


def test_a_ratio_that_would_empty_a_layer_is_refused(untrained: Model, context: Context) -> None:
    model = family("mobilenet_v3_small", untrained)
    with pytest.raises(StageFailed, match=r"nothing of the 8 channels of features\.\d+\S*") as refused:
        Prune(ratio=0.95)(model, context)
    largest = float(refused.value.fix.split("is ")[1].split(";")[0])
    assert largest == 0.937
    assert_exact(model, Prune(ratio=largest, round_to=1), context)


@pytest.mark.parametrize("ranking", ["global", "isomorphic"])
def test_by_a_threshold_every_group_keeps_some(ranking: str, untrained: Model, context: Context) -> None:
    smaller = assert_exact(family("mobilenet_v2", untrained), Prune(ratio=0.95, round_to=4, ranking=ranking), context)
    assert min(outputs for outputs, _ in smaller.blueprint.widths.values()) == 4
