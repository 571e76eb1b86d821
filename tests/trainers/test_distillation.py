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
from pipeline.trainers.distillation import Distill
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
