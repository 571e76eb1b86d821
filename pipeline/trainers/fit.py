"""The one training loop.

Everything random in step ``i`` is a function of the seed and ``i``, so the weights after a
kill and a resume are the weights of an undisturbed run.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import NotANumber
from pipeline.stage import Context
from pipeline.trainers.checkpoint import load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    import torch
    from torch import nn

    # (x_NCHW, labels_N) -> scalar loss with gradients
    Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

CHECKPOINT_EVERY_S = 15.0


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    Attributes:
        lr: the highest learning rate of the one-cycle schedule (Smith, 2018).
        warmup: share of the steps in which the rate rises.
    """

    epochs: int
    batch: int
    lr: float
    weight_decay: float
    augment: Callable[[torch.Tensor], torch.Tensor]
    optimizer: str = "sgd"
    warmup: float = 0.25


def fit(
    module: nn.Module,
    loss: Loss,
    plan: Plan,
    context: Context,
    before_epoch: Callable[[int], None] = lambda _: None,
) -> None:
    """Train ``module`` in place, on the context's device; resume from its checkpoint.

    Args:
        loss: closes over ``module``; gets augmented, normalized images and labels.
        before_epoch: called with the epoch's index.

    Raises:
        NotANumber: the loss of a step is NaN or infinite; nothing is saved.
        Interrupted, Terminated: told to stop; the checkpoint is saved first.
    """
    import torch

    feed = Feed(context, plan)
    module.to(context.device).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(module, plan)
    first = load_checkpoint(context.checkpoint, module, optimizer)
    saved_at = time.monotonic()
    with context.stop.deferred():
        for step in range(first, feed.total):
            if step % feed.steps_per_epoch == 0 or step == first:
                before_epoch(step // feed.steps_per_epoch)
            value = train_step(optimizer, loss, *feed(step), one_cycle(step, feed.total, plan))
            if not math.isfinite(value):
                raise NotANumber(f"the loss became {value} at step {step + 1} of {feed.total}", "lower lr")
            context.progress(step + 1, feed.total, f"loss {value:.3f}")
            if context.stop.received or time.monotonic() - saved_at > CHECKPOINT_EVERY_S:
                save_checkpoint(context.checkpoint, module, optimizer, step + 1)
                context.stop.check()
                saved_at = time.monotonic()
    module.to("cpu").to(memory_format=torch.contiguous_format)


class Feed:
    """Batches by step: the images live on the device as uint8 and are augmented there."""

    def __init__(self, context: Context, plan: Plan) -> None:
        import torch

        train = context.data.train
        self.seed, self.plan, self.spec = context.seed, plan, train.spec
        self.images_NCHW = torch.from_numpy(train.images.fitted_NHWC()).permute(0, 3, 1, 2).to(context.device)
        self.labels_N = torch.from_numpy(train.labels_N).to(context.device)
        self.batch = min(plan.batch, len(train))
        self.steps_per_epoch = len(train) // self.batch
        self.total = plan.epochs * self.steps_per_epoch

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Augmented x_NCHW (float32, channels last) and labels_N of one step."""
        import torch

        epoch, index = divmod(step, self.steps_per_epoch)
        order = torch.randperm(len(self.labels_N), generator=torch.Generator().manual_seed(self.seed + epoch))
        chosen = order[index * self.batch : (index + 1) * self.batch].to(self.labels_N.device)
        torch.manual_seed(self.seed * 1_000_003 + step)
        mean, std = (torch.tensor(v, device=chosen.device).view(1, -1, 1, 1) for v in (self.spec.mean, self.spec.std))
        x_NCHW = (self.images_NCHW[chosen].float() / 255 - mean) / std
        return self.plan.augment(x_NCHW).contiguous(memory_format=torch.channels_last), self.labels_N[chosen]


def make_optimizer(module: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, or AdamW; biases and BatchNorm are not decayed."""
    import torch

    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if plan.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=plan.lr)
    return torch.optim.SGD(groups, lr=plan.lr, momentum=0.9, nesterov=True)


def train_step(
    optimizer: torch.optim.Optimizer, loss: Loss, x_NCHW: torch.Tensor, labels_N: torch.Tensor, lr: float
) -> float:
    """One update; returns the loss, and changes nothing if it is not finite."""
    import torch

    for group in optimizer.param_groups:
        group["lr"] = lr
    with torch.autocast(x_NCHW.device.type, torch.bfloat16, enabled=x_NCHW.is_cuda):
        value = loss(x_NCHW, labels_N)
    result = float(value.detach())
    if math.isfinite(result):
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
    return result


def one_cycle(step: int, total: int, plan: Plan) -> float:
    """Learning rate of a step: a cosine up to ``plan.lr`` and a longer one down to nothing."""
    peak = max(1.0, plan.warmup * total)
    done = step + 1
    position = done / peak if done <= peak else 1 + (done - peak) / (total - peak)
    return plan.lr * (1 - math.cos(math.pi * min(position, 1.999))) / 2


def imitation(logits_NK: torch.Tensor, wanted_NK: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(wanted ‖ logits), both softened by the temperature T: a scalar of at least 0."""
    from torch.nn import functional as F

    student = F.log_softmax(logits_NK.float() / temperature, 1)
    teacher = F.log_softmax(wanted_NK.float() / temperature, 1)
    divergence: torch.Tensor = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2
