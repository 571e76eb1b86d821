"""Hints: every family has a last map, many have blocks, and a student with hints comes nearer to its teacher's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import FAMILIES, family, inputs

from pipeline.errors import StageFailed
from pipeline.model import Model
from pipeline.pruners.structured import Prune
from pipeline.stage import Context
from pipeline.trainers._hints import Hint, Hinted, block_hints, block_maps, distance, last_map, with_maps
from pipeline.trainers.distillation import Distill


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"dense"}))
def test_every_family_has_a_last_map(name: str, untrained: Model) -> None:
    """It has a mean over its pixels that the rest of the network knows the answer from."""
    model = family(name, untrained)
    x_NCHW = inputs(model)
    layer, channels = last_map(model.module, x_NCHW)
    with torch.no_grad():
        logits_NK, [map_NCHW] = with_maps(model.module, [layer], x_NCHW)
        torch.testing.assert_close(logits_NK, model.module(x_NCHW))
    assert map_NCHW.shape[:2] == (len(x_NCHW), channels)
    assert not model.module.get_submodule(layer)._forward_hooks


def test_a_network_without_maps_takes_no_hint(untrained: Model, trained: Model, context: Context) -> None:
    stage = Distill(teacher="t", epochs=1, hint=1.0)
    for student, teacher in ((family("dense", untrained), trained), (untrained, family("dense", untrained))):
        with pytest.raises(StageFailed, match="no map to give or take hints"):
            stage(student, replace(context, teacher=lambda _, teacher=teacher: teacher))


@given(st.integers(0, 99), st.floats(0.01, 100), st.sampled_from([(4, 4), (2, 2), (1, 1)]))
def test_the_distance_is_a_share_of_the_teachers_map(seed: int, scale: float, size: tuple[int, int]) -> None:
    wanted_NCHW = scale * torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(seed))
    assert float(distance(wanted_NCHW, wanted_NCHW)) == 0
    assert float(distance(torch.zeros_like(wanted_NCHW), wanted_NCHW)) == pytest.approx(1, rel=1e-4)
    assert float(distance(2 * wanted_NCHW, wanted_NCHW)) == pytest.approx(1, rel=1e-4)


def test_maps_of_other_sizes_are_compared_where_both_have_pixels() -> None:
    fine, coarse = torch.randn(1, 2, 8, 6), torch.zeros(1, 2, 4, 3)
    coarse += torch.nn.functional.avg_pool2d(fine, 2)
    assert float(distance(fine, coarse)) == pytest.approx(0, abs=1e-10)
    assert float(distance(coarse, fine)) == pytest.approx(0, abs=1e-10)
    assert float(distance(torch.zeros(1, 2, 3, 6), fine)) == pytest.approx(1)


@pytest.mark.parametrize("student", ["resnet18", "mobilenet_v4"])
def test_a_student_of_any_family_comes_nearer_to_the_teachers_map(
    student: str, trained: Model, full_context: Context
) -> None:
    """Than without the hint; and of the projection nothing is left."""
    beginner, taught = family(student, trained), replace(full_context, teacher=lambda _: trained)
    unlike = []
    for hint in (0.0, 5.0):
        stage = Distill(teacher="t", epochs=1, batch=32, lr=0.02, hint=hint, augment="none")
        found = stage(beginner, taught)
        assert found.module.state_dict().keys() == beginner.module.state_dict().keys()
        unlike.append(_unlike(found, trained, full_context))
    assert unlike[1] < 0.9 * unlike[0]


@pytest.mark.parametrize("name", ["cifar_resnet20", "resnet50", "mobilenet_v2", "efficientnet_lite0"])
def test_a_network_pruned_inside_has_the_blocks_of_its_teacher(name: str, untrained: Model, context: Context) -> None:
    teacher = family(name, untrained)
    student = Prune(ratio=0.5, round_to=2, residuals=False)(teacher, context)
    x_NCHW = inputs(teacher)
    hints = block_hints(student.module, teacher.module, x_NCHW)
    layers = [hint.layer for hint in hints]
    assert len(hints) > 5
    assert not any(True for hint in hints for _ in hint.projection.parameters())
    with torch.no_grad():
        (_, maps), (_, wanted) = (with_maps(model.module, layers, x_NCHW) for model in (student, teacher))
    assert [map_NCHW.shape for map_NCHW in maps] == [map_NCHW.shape for map_NCHW in wanted]
    assert len({id(map_NCHW) for map_NCHW in wanted}) == len(layers), "a map is compared once"


def test_a_student_is_led_through_its_blocks(trained: Model, full_context: Context) -> None:
    """What they give comes nearer to the teacher's than without."""
    student = Prune(ratio=0.5, round_to=2, residuals=False)(trained, full_context)
    taught = replace(full_context, teacher=lambda _: trained)
    plan = {"teacher": "t", "epochs": 1, "batch": 32, "lr": 0.005, "augment": "none"}
    x_NCHW = torch.from_numpy(full_context.data.validation.x_NCHW())
    layers, apart = list(block_maps(trained.module, x_NCHW[:1])), []
    for hint in (0.0, 0.3):
        found = Distill(**plan, hint=hint, hint_at="blocks")(student, taught)
        with torch.no_grad():
            (_, maps), (_, wanted) = (with_maps(model.module, layers, x_NCHW) for model in (found, trained))
        same = [one for one in zip(maps, wanted, strict=True) if one[0].shape == one[1].shape]
        apart.append(sum(float(distance(*both)) for both in same) / len(same))
    assert apart[1] < 0.75 * apart[0]


def test_without_blocks_in_common_it_says_what_to_do(untrained: Model, context: Context) -> None:
    teacher = family("mobilenet_v2", untrained)
    stage = Distill(teacher="t", epochs=1, hint=1.0, hint_at="blocks")
    for student in (family("vgg11", untrained), family("dense", untrained)):
        with pytest.raises(StageFailed, match="no block of the student") as caught:
            stage(student, replace(context, teacher=lambda _: teacher))
        assert "hint_at: last" in caught.value.fix


def _unlike(student: Model, teacher: Model, context: Context) -> float:
    """The distance to the teacher's maps of a 1 × 1 convolution of the student's, fitted to other images."""
    known, unseen = (
        [_places(model, torch.from_numpy(samples.x_NCHW())) for model in (student, teacher)]
        for samples in (context.data.train, context.data.validation)
    )
    (own_PC, wanted_PC), (unseen_PC, unseen_wanted_PC) = known, unseen
    moments_CC = own_PC.T @ own_PC
    ridge_CC = 1e-3 * moments_CC.diagonal().mean() * torch.eye(len(moments_CC))
    fitted_CC = torch.linalg.solve(moments_CC + ridge_CC, own_PC.T @ wanted_PC)
    return float((unseen_PC @ fitted_CC - unseen_wanted_PC).square().mean() / unseen_wanted_PC.square().mean())


def _places(model: Model, x_NCHW: torch.Tensor) -> torch.Tensor:
    """(P, C + 1) the means of last maps, and a constant."""
    with torch.no_grad():
        _, [map_NCHW] = with_maps(model.module, [last_map(model.module, x_NCHW)[0]], x_NCHW)
    mean_PC = map_NCHW.mean((2, 3))
    return torch.cat([mean_PC, torch.ones(len(mean_PC), 1)], 1)


def test_gradients_reach_the_student_through_the_hint(untrained: Model) -> None:
    x_NCHW = inputs(untrained)
    layer, channels = last_map(untrained.module, x_NCHW)
    whole = Hinted(untrained.module, [Hint(layer, "its", torch.nn.Conv2d(channels, 5, 1))])
    _, [map_NCHW] = whole(x_NCHW)
    assert map_NCHW.shape[1] == 5
    map_NCHW.square().sum().backward()
    stem = next(untrained.module.parameters())
    assert stem.grad is not None
    assert float(stem.grad.abs().max()) > 0
    untrained.module.zero_grad(set_to_none=True)
