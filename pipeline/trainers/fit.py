"""The one training loop.

Everything random in step ``i`` is a function of the seed and ``i``, so the weights after a
kill and a resume are the weights of an undisturbed run.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.errors import ResourceError
from pipeline.memory import keep_freed_memory
from pipeline.stage import Context
from pipeline.trainers.checkpoint import BATCH, Learner, read_checkpoint, restore
from pipeline.trainers.feed import Batch, Feed, feed_of
from pipeline.trainers.optimizer import Average, make_optimizer
from pipeline.trainers.plan import Plan, learning_rate
from pipeline.trainers.watch import Watch

if TYPE_CHECKING:
    import torch
    from torch import nn

    Network = Callable[[torch.Tensor], torch.Tensor]
    # The network being trained and a batch -> scalar loss with gradients
    Loss = Callable[[Network, Batch], torch.Tensor]


@dataclass(frozen=True)
class Job:
    """What ``fit`` was asked for; see there."""

    module: nn.Module
    loss: Loss
    plan: Plan
    context: Context
    before_step: Callable[[int, int], None]
    feed: Callable[[Context, Plan], Feed]


def fit(
    module: nn.Module,
    loss: Loss,
    plan: Plan,
    context: Context,
    before_step: Callable[[int, int], None] = lambda *_: None,
    feed: Callable[[Context, Plan], Feed] = feed_of,
) -> None:
    """Train ``module`` in place, on the context's device; resume from its checkpoint.

    Where memory runs out, training starts over with half the batch and half the rate.

    Args:
        loss: of the network and a batch of augmented, normalized images.
        before_step: called with the step's index and the number of steps.
        feed: makes the batches; the training images' own unless given.

    Raises:
        NotANumber: the loss of a step is NaN or infinite; nothing is saved.
        Interrupted, Terminated: told to stop; the checkpoint is saved first.
        ResourceError: there is no memory for a single image.
        DataError: the training images have no labels.
    """
    context.data.train.check_labelled()
    keep_freed_memory()
    plan = plan.model_copy(update={"batch": min(plan.batch, len(context.data.train))})
    job = Job(module, loss, plan, context, before_step, feed)
    saved = read_checkpoint(context.checkpoint)
    while saved and job.plan.batch > int(saved[BATCH]):
        job = replace(job, plan=job.plan.halved())
    original = copy.deepcopy(module.state_dict())
    while not _enough_memory(job, saved):
        job, saved = _started_over(job, original), {}


def _enough_memory(job: Job, saved: Mapping[str, torch.Tensor]) -> bool:
    """Train to the end; False if memory ran out."""
    try:
        _train(job, saved)
    except RuntimeError as error:
        text = str(error).lower()
        # Several processes cannot start over one by one: each would wait for the others.
        if job.context.ranks.world > 1 or not ("out of memory" in text or "can't allocate memory" in text):
            raise
        return False
    return True


def _started_over(job: Job, original: Mapping[str, torch.Tensor]) -> Job:
    """The job as it was, with half the batch."""
    if job.plan.batch == 1:
        raise ResourceError("there is no memory to train on one image", "use a smaller model, or smaller images")
    plan = job.plan.halved()
    job.context.warn(f"out of memory: starting over with batch {plan.batch} and, to match it, lr {plan.lr:g}")
    job.module.load_state_dict(original)
    if job.context.checkpoint:
        shutil.rmtree(job.context.checkpoint, ignore_errors=True)
    return replace(job, plan=plan)


def _train(job: Job, saved: Mapping[str, torch.Tensor]) -> None:
    import torch

    module, plan, context = job.module, job.plan, job.context
    feed = job.feed(context, plan)
    module.to(context.device).to(memory_format=torch.channels_last)
    if plan.freeze_norm:
        freeze_norm(module)
    average = Average(module, plan.ema) if plan.ema else None
    learner = Learner(module, make_optimizer(module, plan), average, plan.batch)
    first = restore(learner, saved)
    network, watch = network_of(job), Watch(context, learner, first, feed.total, feed.batch)
    with context.stop.deferred():
        for step in range(first, feed.total):
            job.before_step(step, feed.total)
            batch = feed(step)
            with torch.autocast(batch.x_NCHW.device.type, torch.bfloat16, enabled=batch.x_NCHW.is_cuda):
                value = job.loss(network, batch)
            watch.before_update(step, value)
            update(learner, value, learning_rate(step, feed.total, plan), plan.clip)
            if average is not None:
                average.follow(step)
            watch.after_update(step)
    if average is not None:
        module.load_state_dict(average.module.state_dict())
    module.to("cpu").to(memory_format=torch.contiguous_format)


def network_of(job: Job) -> Network:
    """The module as it is called in a step: compiled, or together with other processes."""
    import torch

    cuda = job.context.device != "cpu"
    # Shapes never change, so looking for the fastest convolutions once pays.
    torch.backends.cudnn.benchmark = cuda
    together = job.context.ranks.together(job.module)
    # On a GPU the whole step becomes one CUDA graph.
    return torch.compile(together, mode="reduce-overhead" if cuda else "default") if job.plan.compile else together


def freeze_norm(module: nn.Module) -> None:
    """Let every BatchNorm keep its statistics, in place."""
    from torch import nn

    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()


def update(learner: Learner, value: torch.Tensor, rate: float, clip: float) -> None:
    """Change the weights by one step."""
    import torch

    for group in learner.optimizer.param_groups:
        group["lr"] = rate * group["share"]
    learner.optimizer.zero_grad()
    torch.autograd.backward(value)
    if clip:
        torch.nn.utils.clip_grad_norm_(learner.module.parameters(), clip)
    learner.optimizer.step()


def cross_entropy(plan: Plan) -> Loss:
    """The loss on labels alone."""
    from torch.nn import functional as F

    def loss(network: Network, batch: Batch) -> torch.Tensor:
        return F.cross_entropy(network(batch.x_NCHW), batch.targets, label_smoothing=plan.smoothing)

    return loss


def imitation(logits_NK: torch.Tensor, wanted_NK: torch.Tensor, temperature: float) -> torch.Tensor:
    """T² · KL(wanted ‖ logits), both softened by the temperature T: a scalar of at least 0."""
    from torch.nn import functional as F

    student = F.log_softmax(logits_NK.float() / temperature, 1)
    teacher = F.log_softmax(wanted_NK.float() / temperature, 1)
    divergence: torch.Tensor = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return divergence * temperature**2
