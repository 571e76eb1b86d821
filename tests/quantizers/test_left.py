"""What no int8 kernel computes stays float, and whoever quantizes is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import FAMILIES, family, hand_made
from torch import nn
from torch.nn import functional as F

from pipeline.folding import folded
from pipeline.model import Model
from pipeline.quantizers._left import left_float
from pipeline.quantizers.aware import QuantizationAware
from pipeline.quantizers.post_training import PostTraining
from pipeline.quantizers.quantized import prepare
from pipeline.stage import Context, Stage


class Odd(nn.Module):
    """Two curves without kernels, and between them what only moves numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = torch.erf(self.two(F.relu(self.one(x)))).chunk(2, 1)
        x = torch.cat([torch.erf(left), F.silu(right)], 1).mean([2, 3])
        return self.head(x.view(-1, 8))


@pytest.mark.parametrize("stage", [PostTraining(images=8), QuantizationAware(epochs=1, batch=48)])
def test_it_is_told(stage: Stage, context: Context) -> None:
    model = replace(hand_made(Odd, channels=1), spec=context.data.spec, classes=context.data.classes)
    said: list[str] = []
    made: Model = stage(model, replace(context, warn=said.append))
    assert said == ["no int8 kernel computes these operators, which stay float: erf (2), silu"]
    assert np.isfinite(made.logits_NK(context.data.validation.x_NCHW())).all()


@pytest.mark.parametrize(
    ("axes", "keeps", "left"), [([2, 3], False, ()), ([-1, -2], True, ()), ([3], False, ("mean",))]
)
def test_a_mean_over_height_and_width_becomes_a_pool(axes: list[int], keeps: bool, left: tuple[str, ...]) -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Conv2d(3, 8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.relu(self.one(x)).mean(axes, keepdim=keeps).flatten(1)

    model = hand_made(Mean)
    assert left_float(prepare(folded(model.module), model.spec)) == left


@pytest.mark.parametrize("name", FAMILIES)
def test_our_own_families_leave_nothing(name: str, untrained: Model) -> None:
    model = family(name, untrained)
    assert left_float(prepare(folded(model.module), model.spec)) == ()


def test_what_was_asked_for_is_not_told(untrained: Model) -> None:
    model = family("lenet", untrained)
    prepared = prepare(folded(model.module), model.spec, floats=("conv2d",))
    assert left_float(prepared) == ("conv2d",)
    assert left_float(prepared, ("conv2d",)) == ()
