"""What answers hear of an error is what they change by; and a channel saves the multiply-adds that it is said to."""

from __future__ import annotations

import pytest
import torch
from tiny import family, plain_model

from pipeline.measure.size import count_macs
from pipeline.model import Model
from pipeline.pruners.evidence import evidence
from pipeline.pruners.gains import GAIN, PLACES, gains
from pipeline.pruners.groups import find_groups
from pipeline.pruners.reconstruction import work
from pipeline.pruners.resized import pruned
from pipeline.pruners.structured import Prune, chosen
from pipeline.stage import Context


@pytest.fixture(scope="module")
def plain(context: Context) -> Model:
    return plain_model(context.data)


def test_an_error_at_all_places_is_heard_as_far_as_the_answers_change(plain: Model, context: Context) -> None:
    """Behind its last convolution this network is linear: pooling, and a layer of 10 × 32."""
    found = gains(plain, find_groups(plain.module, plain.spec.shape), context)
    head_KC = plain.state["head.weight"]
    assert float(found[f"head{GAIN}"]) == pytest.approx(1)
    assert float(found[f"four{GAIN}"]) == pytest.approx(float(head_KC.square().sum()) / 32, rel=0.2)
    assert float(found[f"four{PLACES}"]) == plain.spec.shape[1] * plain.spec.shape[2]
    assert float(found[f"head{PLACES}"]) == 1


@pytest.mark.parametrize("name", ["", "mobilenet_v2", "resnet18"])
def test_work_is_what_one_channel_less_saves(name: str, plain: Model, untrained: Model, context: Context) -> None:
    model = family(name, untrained) if name else plain
    groups = find_groups(model.module, model.spec.shape)
    tensors = evidence("reconstruction", model, groups, context)
    for space in groups.prunable[:4]:
        smaller = pruned(model, groups, {space: torch.arange(1, groups.sizes[space])})
        saved = count_macs(model.blueprint, model.spec) - count_macs(smaller.blueprint, smaller.spec)
        # A layer that reads and makes the space saves the corner of both but once.
        assert work(tensors, groups, space) == pytest.approx(saved, rel=0.02)


def test_layers_whose_errors_are_not_heard_are_cut_most(plain: Model, context: Context) -> None:
    """One threshold for all: a thousandth of the gain, and the channels of that layer go first."""
    groups = find_groups(plain.module, plain.spec.shape)
    cut = Prune(ratio=0.4, round_to=1, importance="reconstruction", ranking="global")
    tensors = dict(evidence("reconstruction", plain, groups, context))
    before = chosen(cut, tensors, groups, 0, groups.sizes)
    tensors[f"two{GAIN}"] = tensors[f"two{GAIN}"] / 1000
    after = chosen(cut, tensors, groups, 0, groups.sizes)
    space = next(space for space, makers in groups.makers.items() if makers[0] == "one")
    assert len(after[space]) < len(before.get(space, range(groups.sizes[space])))
