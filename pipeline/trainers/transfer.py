"""Transfer learning: a trained backbone, a new last layer, then both together."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import field_validator

from pipeline.model import Model, last_linear
from pipeline.stage import Context, Stage
from pipeline.trainers.checkpoint import read_tensors, write_tensors
from pipeline.trainers.feed import Batch, Feed
from pipeline.trainers.fit import cross_entropy, fit
from pipeline.trainers.outputs import outputs
from pipeline.trainers.plan import Plan

if TYPE_CHECKING:
    import torch
    from torch import nn

FILE = "features.safetensors"
HEAD = Plan(epochs=60, batch=128, lr=0.003, optimizer="adamw", weight_decay=0.5, smoothing=0.0, augment=())
# Gentle: at five times the rate, tuning on a thousand photographs lost what the head had won.
TUNE = Plan(epochs=1, batch=32, lr=0.001, smoothing=0.0, first_layer_lr=0.1, augment=("flip",), freeze_norm=True)


class Transfer(Stage):
    """Train a new last layer on a frozen network's features, then fine-tune all of it.

    Every training image goes through the frozen network once; its features are kept.

    Attributes:
        head: how the last layer is trained on the features; nothing can be augmented there.
        tune: how all layers are trained then; null leaves them as they were.
    """

    shared: ClassVar[bool] = True
    head: Plan = HEAD
    tune: Plan | None = TUNE

    @field_validator("head")
    @classmethod
    def _features_stay(cls, head: Plan) -> Plan:
        if head.augment:
            raise ValueError("augment must be none here: the features are computed once")
        return head

    def __call__(self, value: Model, context: Context) -> Model:
        module = copy.deepcopy(value.module).eval()
        name, head = last_linear(module)
        at_head, at_tune = (within(context, part) for part in ("head", "tune"))
        features_NF = features(module, name, at_head)
        fit(head, cross_entropy(self.head), self.head, at_head, feed=lambda *given: Features(features_NF, *given))
        if self.tune is not None:
            fit(module.train(), cross_entropy(self.tune), self.tune, at_tune)
        return replace(value, module=module.eval(), state=module.state_dict())


class Features(Feed):
    """Batches of features that were computed before, in place of images."""

    def __init__(self, features_NF: torch.Tensor, context: Context, plan: Plan) -> None:
        super().__init__(context, plan)
        self.features_NF = features_NF

    def pixels(self, step: int, chosen_N: torch.Tensor) -> torch.Tensor:
        return self.features_NF[chosen_N.to(self.features_NF.device)]

    def __call__(self, step: int) -> Batch:
        chosen_N = self.chosen(step)
        return Batch(self.pixels(step, chosen_N), self.labels_N[chosen_N.to(self.device)], chosen_N)


def within(context: Context, part: str) -> Context:
    """The context of a part of the stage, with a checkpoint folder of its own."""
    return replace(context, checkpoint=context.checkpoint / part if context.checkpoint else None)


def features(module: nn.Module, head: str, context: Context) -> torch.Tensor:
    """What reaches the layer ``head`` for every training image: (N, F), computed once."""
    from torch import nn

    found = read_tensors(context.checkpoint, FILE)
    if found is not None:
        return found["features"].to(context.device)
    backbone = copy.deepcopy(module).to(context.device)
    backbone.set_submodule(head, nn.Identity())
    features_NF = outputs(backbone, context.data.train, context)
    if context.checkpoint and context.ranks.leads:
        write_tensors(context.checkpoint, FILE, {"features": features_NF})
    return features_NF
