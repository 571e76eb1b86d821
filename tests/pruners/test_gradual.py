"""Pruning in steps: the same widths, training in between, and resumption within a step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from tiny import family, fingerprint

from pipeline.errors import CorruptFile, Interrupted, StageFailed, UsageError
from pipeline.model import Model
from pipeline.plugin import read
from pipeline.pruners.gradual import FILE, PruneGradually
from pipeline.pruners.resized import Resized
from pipeline.pruners.structured import Prune
from pipeline.quantizers.post_training import PostTraining
from pipeline.stage import Context, Stage
from pipeline.trainers.distillation import Distill
from pipeline.trainers.supervised import Train

QUICK = Train(epochs=1, batch=48, augment=(), lr=0.01)


class Noted(Stage):
    """Trains, remembers that it did, and is interrupted where a test wants it."""

    kind: ClassVar[str] = "Noted"
    seen: ClassVar[list[int]] = []
    interrupted_at: ClassVar[int] = -1

    def __call__(self, value: Model, context: Context) -> Model:
        if len(self.seen) == self.interrupted_at:
            raise Interrupted("told to stop")
        self.seen.append(sum(tensor.numel() for tensor in value.state.values()))
        return QUICK(value, context)


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    monkeypatch.setattr(Noted, "seen", [])
    monkeypatch.setattr(Noted, "interrupted_at", -1)
    return Noted()


def test_ends_with_the_widths_of_one_step(trained: Model, context: Context, noted: Noted) -> None:
    gradual = PruneGradually(ratio=0.5, steps=3, between=noted)(trained, context)
    at_once = Prune(ratio=0.5)(trained, context)
    assert isinstance(gradual.blueprint, Resized)
    assert gradual.blueprint == at_once.blueprint
    assert len(noted.seen) == 3
    assert sorted(noted.seen, reverse=True) == noted.seen
    assert len({*noted.seen}) == 3


@pytest.mark.parametrize("ranking", ["global", "isomorphic"])
def test_by_a_threshold_the_share_of_all_channels_goes(ranking: str, untrained: Model, context: Context) -> None:
    model = family("resnet18", untrained)
    stage = PruneGradually(ratio=0.5, round_to=1, steps=2, ranking=ranking, importance="taylor", between=QUICK)
    smaller = stage(model, context)
    weights = [name for name in model.state if name.endswith("conv1.weight") or name.endswith("conv2.weight")]
    left = sum(len(smaller.state[name]) for name in weights) / sum(len(model.state[name]) for name in weights)
    assert 0.4 < left < 0.6


def test_distils_between(trained: Model, context: Context) -> None:
    between = Distill(teacher="large", epochs=1, batch=48, augment=())
    stage = PruneGradually(ratio=0.3, steps=2, between=between)
    assert stage.needs() == ("large",)
    asked: list[str] = []

    def teacher(name: str) -> Model:
        asked.append(name)
        return trained

    stage(trained, replace(context, teacher=teacher))
    assert asked == ["large", "large"]


def test_goes_on_where_it_was_interrupted(trained: Model, context: Context, noted: Noted, tmp_path: Path) -> None:
    stage = PruneGradually(ratio=0.5, steps=3, between=noted)
    undisturbed = stage(trained, context)
    Noted.seen.clear()
    kept = replace(context, checkpoint=tmp_path)
    Noted.interrupted_at = 2
    with pytest.raises(Interrupted):
        stage(trained, kept)
    Noted.interrupted_at = -1
    resumed = stage(trained, kept)
    assert len(noted.seen) == 3  # two before, one after
    assert fingerprint(resumed) == fingerprint(undisturbed)
    assert resumed.blueprint == undisturbed.blueprint


def test_a_damaged_checkpoint_is_named(trained: Model, context: Context, noted: Noted, tmp_path: Path) -> None:
    kept = replace(context, checkpoint=tmp_path)
    stage = PruneGradually(ratio=0.5, steps=2, between=noted)
    stage(trained, kept)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(CorruptFile, match="is not the checkpoint"):
        stage(trained, kept)


def test_nothing_to_remove_is_an_error(trained: Model, context: Context, noted: Noted) -> None:
    with pytest.raises(StageFailed, match="removed nothing"):
        PruneGradually(ratio=0.01, round_to=4096, steps=2, between=noted)(trained, context)
    assert noted.seen == []


def test_is_written_as_a_person_would() -> None:
    stage = PruneGradually(steps=3, between=Distill(teacher="large", epochs=2))
    assert stage.written() == {
        "PruneGradually": {"steps": 3, "between": {"Distill": {"teacher": "large", "epochs": 2}}}
    }
    assert read("stage", stage.written(), "here") == stage
    assert read("stage", {"PruneGradually": {"between": "Train"}}, "here") == PruneGradually(between=Train())


def test_the_training_counts_with_its_version() -> None:
    described = PruneGradually(between=QUICK).describe()["PruneGradually"]
    assert described["between"] == QUICK.describe()


@pytest.mark.parametrize("between", ["PostTraining", "ExportOnnx", "ResNet18", "NoSuchStage"])
def test_only_what_trains_may_stand_between(between: str) -> None:
    with pytest.raises(UsageError, match=between):
        read("stage", {"PruneGradually": {"between": between}}, "here")
    with pytest.raises(ValueError, match="does not take and give a float model"):
        PruneGradually(between=PostTraining())


class Weakened(Stage):
    """In place of training: makes the first channels of one layer all but silent."""

    kind: ClassVar[str] = "Weakened"

    def __call__(self, value: Model, context: Context) -> Model:
        state = {name: tensor.clone() for name, tensor in value.state.items()}
        state["layer1.0.conv1.weight"][:3] *= 1e-3
        return replace(value, module=value.blueprint.build(state), state=state)


def test_channels_are_judged_anew_in_every_step(untrained: Model, context: Context) -> None:
    model = family("resnet18", untrained)
    stage = PruneGradually(ratio=0.5, round_to=1, steps=2, between=Weakened())
    first = Prune(ratio=1 - 0.5**0.5, round_to=1)(model, context).state["layer1.0.bn1.weight"]
    last = stage(model, context).state["layer1.0.bn1.weight"]
    assert len(first) > len(last)
    assert bool(torch.isin(last, first[3:]).all())
