"""Distillation: the student follows the teacher, whatever the teacher's input looks like."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import fingerprint

from pipeline.model import Model
from pipeline.stage import Context
from pipeline.trainers.distillation import Distill, renormalization
from pipeline.trainers.feed import feed_of
from pipeline.trainers.fit import imitation


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


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_the_teacher_answers_for_what_the_student_sees(
    augment: str, untrained: Model, trained: Model, context: Context
) -> None:
    """Also where the two normalize differently, and where the answers are kept."""
    spec = trained.spec.model_copy(update={"mean": (0.1,), "std": (0.7,)})
    student = replace(untrained, spec=spec)
    own = replace(context, data=context.data.normalized_as(spec))
    stage = Distill(teacher="t", augment=augment, batch=16)
    batch = feed_of(own, stage)(1)
    answer = stage.answers_of(trained, student, own)
    scale, shift = renormalization(spec, trained.spec, "cpu")
    with torch.no_grad():
        wanted_NK = trained.module(batch.x_NCHW * scale + shift)
    torch.testing.assert_close(answer(batch), wanted_NK, atol=1e-4, rtol=1e-4)


def test_answers_are_kept_only_where_images_do_not_change(trained: Model, context: Context) -> None:
    calls: list[int] = []
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *_: calls.append(1))
    try:
        counts = []
        for augment in ("none", "flip"):
            stage = Distill(teacher="t", augment=augment, batch=16)
            answer, feed = stage.answers_of(trained, trained, context), feed_of(context, stage)
            before = len(calls)
            answer(feed(0))
            counts.append(len(calls) - before)
    finally:
        hook.remove()
    assert counts[0] == 0
    assert counts[1] > 0


def test_renormalization_to_the_same_is_nothing(trained: Model) -> None:
    scale, shift = renormalization(trained.spec, trained.spec, "cpu")
    assert float(scale) == 1
    assert float(shift) == 0
