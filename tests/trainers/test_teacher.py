"""The teacher answers for what the student sees, and no more often than it must."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from faults import flip_bit

from pipeline.errors import CorruptFile
from pipeline.model import Model
from pipeline.stage import Context
from pipeline.trainers.feed import feed_of
from pipeline.trainers.plan import Plan
from pipeline.trainers.teacher import FILE, answers_of, renormalization


@pytest.mark.parametrize("augment", ["none", "flip"])
def test_the_teacher_answers_for_what_the_student_sees(augment: str, trained: Model, context: Context) -> None:
    """Also where the two normalize differently, and where the answers are kept."""
    spec = trained.spec.model_copy(update={"mean": (0.1,), "std": (0.7,)})
    own = replace(context, data=context.data.normalized_as(spec))
    plan = Plan(augment=augment, batch=16)
    batch = feed_of(own, plan)(1)
    answer = answers_of(trained, spec, bool(plan.augment), own)
    with torch.no_grad():
        wanted_NK = trained.module(renormalization(spec, trained.spec, "cpu")(batch.x_NCHW))
    torch.testing.assert_close(answer(batch), wanted_NK, atol=1e-4, rtol=1e-4)


def test_answers_are_kept_only_where_images_do_not_change(trained: Model, context: Context) -> None:
    calls: list[int] = []
    hook = torch.nn.modules.module.register_module_forward_hook(lambda *_: calls.append(1))
    try:
        counts = []
        for changing in (False, True):
            answer = answers_of(trained, trained.spec, changing, context)
            batch, before = feed_of(context, Plan(batch=16))(0), len(calls)
            answer(batch)
            counts.append(len(calls) - before)
    finally:
        hook.remove()
    assert counts[0] == 0
    assert counts[1] > 0


def test_renormalization_to_the_same_is_nothing(trained: Model) -> None:
    x_NCHW = torch.randn(2, *trained.spec.shape)
    torch.testing.assert_close(renormalization(trained.spec, trained.spec, "cpu")(x_NCHW), x_NCHW)


def test_a_resumed_stage_asks_no_image_again(trained: Model, context: Context, tmp_path: Path) -> None:
    asked: list[int] = []
    kept = replace(context, checkpoint=tmp_path, progress=lambda done, *_: asked.append(done))
    batch = feed_of(context, Plan(augment="none", batch=16))(3)
    first = answers_of(trained, trained.spec, False, kept)(batch)
    assert asked
    asked.clear()
    torch.testing.assert_close(answers_of(trained, trained.spec, False, kept)(batch), first, rtol=0, atol=0)
    assert not asked
    flip_bit(tmp_path / FILE, 1000)
    with pytest.raises(CorruptFile, match=FILE):
        answers_of(trained, trained.spec, False, kept)
