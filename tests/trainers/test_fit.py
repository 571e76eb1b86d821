"""The one training loop: it learns, it is a function of the seed, and it refuses NaN."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import fingerprint
from torch import nn
from torch.nn import functional as F

from pipeline.dataset import Samples
from pipeline.errors import NotANumber
from pipeline.model import Model
from pipeline.stage import Context
from pipeline.trainers.augment import affine, augmentation, flip
from pipeline.trainers.distillation import Distill
from pipeline.trainers.fit import Feed, Plan, fit, imitation, make_optimizer, one_cycle
from pipeline.trainers.supervised import Train

PLAN = Plan(epochs=2, batch=32, lr=0.05, weight_decay=5e-4, augment=augmentation("none"))


def loss_on(model: Model, samples: Samples) -> float:
    logits_NK = torch.from_numpy(model.logits_NK(samples.x_NCHW()))
    return float(F.cross_entropy(logits_NK, torch.from_numpy(samples.labels_N)))


def test_training_learns(untrained: Model, trained: Model, full_context: Context) -> None:
    splits = full_context.data
    assert loss_on(trained, splits.train) < 0.5 * loss_on(untrained, splits.train)
    right = trained.logits_NK(splits.validation.x_NCHW()).argmax(1) == splits.validation.labels_N
    assert right.mean() > 0.85


def test_adamw_learns_too(untrained: Model, full_context: Context) -> None:
    stage = Train(epochs=4, optimizer="adamw", lr=0.005, augment="none", smoothing=0)
    train = full_context.data.train
    assert loss_on(stage(untrained, full_context), train) < 0.5 * loss_on(untrained, train)


def test_result_is_in_eval_mode_on_the_cpu(trained: Model) -> None:
    assert not any(layer.training for layer in trained.module.modules())
    assert {parameter.device.type for parameter in trained.module.parameters()} == {"cpu"}
    assert all(parameter.is_contiguous() for parameter in trained.module.parameters())


def test_weights_are_a_function_of_the_seed(untrained: Model, context: Context) -> None:
    stage = Train(epochs=1, batch=32)
    torch.manual_seed(1)
    first = fingerprint(stage(untrained, context))
    torch.manual_seed(2)
    assert fingerprint(stage(untrained, context)) == first
    assert fingerprint(stage(untrained, replace(context, seed=1))) != first


def test_weights_that_are_not_numbers_stop_at_the_first_step(
    untrained: Model, context: Context, tmp_path: Path
) -> None:
    state = {name: tensor.clone() for name, tensor in untrained.state.items()}
    state["features.0.0.weight"][0] = float("nan")
    broken = replace(untrained, module=untrained.blueprint.build(state), state=state)
    with pytest.raises(NotANumber, match="step 1 of") as caught:
        Train(epochs=2, batch=32)(broken, replace(context, checkpoint=tmp_path))
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_step_that_is_not_a_number_changes_nothing(value: str, context: Context, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    seen: list[torch.Tensor] = []

    def loss(x_NCHW: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        seen.append(module[1].weight.detach().clone())
        return F.cross_entropy(module(x_NCHW), labels_N) * (float(value) if len(seen) == 3 else 1.0)

    with pytest.raises(NotANumber, match="step 3 of 6"):
        fit(module, loss, PLAN, replace(context, checkpoint=tmp_path))
    assert len(seen) == 3
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(module[1].weight, seen[2])
    assert list(tmp_path.iterdir()) == []


def test_a_far_too_high_rate_is_found(untrained: Model, context: Context) -> None:
    with pytest.raises(NotANumber) as caught:
        Train(epochs=4, batch=32, lr=1e30)(untrained, context)
    assert "lower lr" in caught.value.fix


def test_an_epoch_sees_every_image_once(context: Context) -> None:
    train = context.data.train
    marked = replace(train, labels_N=np.arange(len(train), dtype=np.int64))
    feed = Feed(replace(context, data=replace(context.data, train=marked)), PLAN)
    epochs = [[int(i) for s in range(3) for i in feed(3 * e + s)[1]] for e in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(96))] * 2
    assert epochs[0] != epochs[1]


def test_a_batch_is_the_normalized_images(context: Context) -> None:
    train = context.data.train
    marked = replace(train, labels_N=np.arange(len(train), dtype=np.int64))
    x_NCHW, labels_N = Feed(replace(context, data=replace(context.data, train=marked)), PLAN)(4)
    np.testing.assert_allclose(x_NCHW.numpy(), train.x_NCHW()[labels_N.numpy()], atol=1e-6)


def test_fewer_images_than_a_batch(untrained: Model, context: Context) -> None:
    few = replace(context.data, train=context.data.train.take(np.arange(5)))
    done: list[tuple[int, int]] = []
    Train(epochs=2)(untrained, replace(context, data=few, progress=lambda step, total, _: done.append((step, total))))
    assert done == [(1, 2), (2, 2)]


def test_biases_and_norms_are_not_decayed(untrained: Model) -> None:
    weights, others = make_optimizer(untrained.module, PLAN).param_groups
    assert (weights["weight_decay"], others["weight_decay"]) == (5e-4, 0)
    assert all(parameter.ndim > 1 for parameter in weights["params"])
    assert len(weights["params"]) + len(others["params"]) == len(list(untrained.module.parameters()))


@given(total=st.integers(1, 400), warmup=st.floats(0, 0.9), lr=st.floats(1e-4, 10))
def test_one_cycle(total: int, warmup: float, lr: float) -> None:
    plan = Plan(1, 1, lr, 0.0, lambda x: x, warmup=warmup)
    rates = [one_cycle(step, total, plan) for step in range(total)]
    assert all(0 < rate <= lr * (1 + 1e-9) for rate in rates)
    peak = max(range(total), key=rates.__getitem__)
    assert all(before <= after for before, after in itertools.pairwise(rates[: peak + 1]))
    assert all(before >= after for before, after in itertools.pairwise(rates[peak:]))
    if total >= 20:
        assert max(rates) > 0.95 * lr
        assert rates[-1] < 0.05 * lr


# --- distillation --------------------------------------------------------------------------


def test_distillation_follows_the_teacher(untrained: Model, trained: Model, context: Context) -> None:
    """With all the weight on the teacher the labels do not matter, the teacher's answers do."""
    scrambled = replace(context.data.train, labels_N=np.roll(context.data.train.labels_N, 7))
    contexts = [context, replace(context, data=replace(context.data, train=scrambled))]
    asked: list[str] = []

    def teacher(name: str) -> Model:
        asked.append(name)
        return trained

    stage = Distill(epochs=1, batch=32, teacher="big", weight=1.0)
    first, second = (fingerprint(stage(untrained, replace(one, teacher=teacher))) for one in contexts)
    assert asked == ["big", "big"]
    assert first == second
    assert fingerprint(stage(untrained, replace(context, teacher=lambda _: untrained))) != first
    assert stage.needs() == ("big",)


def test_the_teacher_is_not_changed(untrained: Model, trained: Model, context: Context) -> None:
    before = fingerprint(trained)
    Distill(epochs=1, batch=32, teacher="t")(untrained, replace(context, teacher=lambda _: trained))
    assert fingerprint(trained) == before


@given(temperature=st.floats(0.5, 20), seed=st.integers(0, 99))
def test_imitation_is_zero_only_for_the_same_answers(temperature: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    wanted, other = torch.randn(2, 4, 10, generator=generator)
    assert float(imitation(wanted, wanted, temperature)) == pytest.approx(0, abs=1e-4)
    assert float(imitation(wanted + 5, wanted, temperature)) == pytest.approx(0, abs=1e-3)
    assert float(imitation(other, wanted, temperature)) > 1e-3


# --- augmentation --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["none", "affine", "flip"])
@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (5, 3, 16, 12)])
def test_augmentation_keeps_the_shape_and_follows_the_seed(name: str, shape: tuple[int, ...]) -> None:
    x_NCHW = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    original = x_NCHW.clone()
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(augmentation(name)(x_NCHW))
    assert results[0].shape == x_NCHW.shape
    assert torch.equal(results[0], results[1])
    assert torch.equal(x_NCHW, original)
    if name == "affine":
        assert not torch.equal(results[0], results[2])


def test_affine_without_strength_changes_nothing() -> None:
    x_NCHW = torch.rand(3, 2, 9, 9)
    torch.testing.assert_close(affine(x_NCHW, 0, 0, 0), x_NCHW, atol=1e-5, rtol=0)


def test_flip_mirrors_about_half_of_the_images() -> None:
    torch.manual_seed(0)
    x_NCHW = torch.rand(200, 1, 4, 5)
    flipped = flip(x_NCHW)
    same = (flipped == x_NCHW).flatten(1).all(1)
    mirrored = (flipped == x_NCHW.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 60 < int(mirrored.sum()) < 140
