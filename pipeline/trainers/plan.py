"""How to train: plain values that every training stage shares."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from pipeline.spec import Positive, Ratio, Value

Change = Literal["affine", "crop", "cutmix", "cutout", "flip", "mixup", "resized_crop", "trivial"]


def _several(data: Any) -> Any:
    """``flip`` is ``[flip]``, and ``none`` is ``[]``."""
    if isinstance(data, str):
        return () if data == "none" else (data,)
    return data


class Plan(Value):
    """How long, how fast and on what changes of the images to train.

    Attributes:
        epochs: passes over the training images.
        batch: images a step, over all processes; smaller data sets use all they have.
        lr: highest learning rate of the schedule.
        optimizer: "sgd" (Nesterov momentum 0.9) or "adamw".
        schedule: "one_cycle" (cosine up, cosine down; Smith, 2018) or "cosine" (straight up,
            cosine down; Loshchilov and Hutter, 2017).
        warmup: share of the steps in which the rate rises.
        weight_decay: of weights; biases and BatchNorm are not decayed.
        smoothing: label smoothing (Szegedy et al., 2016).
        augment: changes of the training images, in order; "none", one name, or a list of
            "affine" (rotate, scale, shift), "crop" (shift with mirrored edges), "flip",
            "resized_crop" (part of the image, resized), "trivial" (one random operation of
            random strength), "cutout", "mixup" and "cutmix".
        ema: decay of the weights' moving average, which is what is kept; 0 keeps the last ones.
        clip: largest norm of the gradient; 0 sets no limit.
        first_layer_lr: share of ``lr`` at the first layer; those between lie on a geometric
            line (discriminative fine-tuning, Howard and Ruder, 2018).
        freeze_norm: BatchNorm keeps the statistics it came with, for short training.
        compile: let torch.compile make the step, with CUDA graphs on a GPU; it costs a minute
            at the start.
    """

    epochs: Positive = 10
    batch: Positive = 64
    lr: Annotated[float, Field(gt=0)] = 0.06
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["one_cycle", "cosine"] = "one_cycle"
    warmup: Ratio = 0.25
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    smoothing: Ratio = 0.1
    augment: Annotated[tuple[Change, ...], BeforeValidator(_several)] = ("affine",)
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip: Annotated[float, Field(ge=0)] = 0.0
    first_layer_lr: Annotated[float, Field(gt=0, le=1)] = 1.0
    freeze_norm: bool = False
    compile: bool = False

    def halved(self) -> Plan:
        """Half the images a step and, by the linear rule (Goyal et al., 2017), half the rate."""
        return self.model_copy(update={"batch": self.batch // 2, "lr": self.lr / 2})


def learning_rate(step: int, total: int, plan: Plan) -> float:
    """The rate of a step: up to ``plan.lr`` in the warm-up, then down to nothing."""
    peak = max(1.0, plan.warmup * total)
    done = step + 1
    if done <= peak and plan.schedule == "cosine":
        return plan.lr * done / peak
    position = done / peak if done <= peak else 1 + (done - peak) / (total - peak)
    return plan.lr * (1 - math.cos(math.pi * min(position, 1.999))) / 2
