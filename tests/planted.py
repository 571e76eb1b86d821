"""A network whose float answers are its labels, with one place that int8 ruins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from tiny import hand_made
from torch import nn
from torch.nn import functional as F

from pipeline.dataset import Samples, Splits
from pipeline.model import Model
from pipeline.stage import Context

FACTOR = 1e3
CLASSES = ("a", "b", "c")


class Planted(nn.Module):
    """Dense, depthwise, pointwise, a residual and logits; channel 0 of the depthwise layer always gives 0."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 8, 3, stride=2), nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.three, self.four = nn.Conv2d(8, 16, 1), nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, len(CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.three(F.relu(self.two(F.relu(self.one(x))))))
        return self.head(F.adaptive_avg_pool2d(x + self.four(x), 1).flatten(1))


WEIGHTS, VALUES = "conv2d_2", ("conv2d_1", "conv2d_2")


def healthy(context: Context) -> Model:
    """Nothing is planted: int8 answers nearly as float does."""
    return _answering(replace(hand_made(Planted, channels=1), classes=CLASSES), context)


def ruined_weights(context: Context) -> Model:
    """Giant weights on an input that is always 0: in int8 ``WEIGHTS`` keeps nothing but them."""
    state = _silent(healthy(context))
    state["three.weight"][:, 0] = FACTOR * state["three.weight"].abs().max()
    return _rebuilt(healthy(context), state)


def ruined_values(context: Context) -> Model:
    """A giant value that nobody reads: between ``VALUES`` an int8 tensor keeps nothing but it."""
    state = _silent(healthy(context))
    state["two.bias"][0] = 100 * FACTOR
    state["three.weight"][:, 0] = 0
    return _rebuilt(healthy(context), state)


def labelled(model: Model, context: Context) -> Context:
    """The same images with the model's answers as labels: it is right about all of them."""

    def answered(samples: Samples) -> Samples:
        return replace(samples, labels_N=model.logits_NK(samples.x_NCHW()).argmax(1).astype(np.int64))

    data = context.data
    splits = Splits(
        answered(data.train), answered(data.calibration), answered(data.validation), model.classes, data.spec
    )
    return replace(context, data=splits)


def _silent(model: Model) -> dict[str, torch.Tensor]:
    """Weights with which channel 0 of the depthwise layer gives its bias, 0."""
    state = {name: tensor.clone() for name, tensor in model.state.items()}
    state["two.weight"][0], state["two.bias"][0] = 0, 0
    return state


def _answering(model: Model, context: Context) -> Model:
    """With logits around 0, so that every class is an answer."""
    model = replace(model, spec=context.data.spec)
    state = {name: tensor.clone() for name, tensor in model.state.items()}
    logits_NK = torch.from_numpy(model.logits_NK(context.data.calibration.x_NCHW()))
    scale_K = 1 / logits_NK.std(0)
    state["head.weight"] *= scale_K[:, None]
    state["head.bias"] = (state["head.bias"] - logits_NK.mean(0)) * scale_K
    return _rebuilt(model, state)


def _rebuilt(model: Model, state: dict[str, torch.Tensor]) -> Model:
    return replace(model, module=model.blueprint.build(state), state=state)
