"""What a teacher answers to the images that its student sees."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.model import Model
from pipeline.spec import InputSpec
from pipeline.stage import Context
from pipeline.trainers.checkpoint import read_tensors, write_tensors
from pipeline.trainers.feed import Batch
from pipeline.trainers.outputs import outputs

if TYPE_CHECKING:
    import torch
    from torch import nn

FILE = "answers.safetensors"


def answers_of(teacher: Model, student: InputSpec, changing: bool, context: Context) -> Callable[[Batch], torch.Tensor]:
    """The teacher's logits for a batch: (N, K), without gradients.

    Args:
        student: how the batches' images were normalized.
        changing: the images are augmented. Where they are not, the teacher answers once for each.
    """
    import torch

    module = on_device(teacher, context)
    if not changing:
        known_NK = known(module, teacher.spec, context)
        return lambda batch: known_NK[batch.chosen_N.to(known_NK.device)]
    renormalized = renormalization(student, teacher.spec, context.device)

    def answer(batch: Batch) -> torch.Tensor:
        with torch.no_grad():
            logits_NK: torch.Tensor = module(renormalized(batch.x_NCHW))
        return logits_NK

    return answer


def known(module: nn.Module, spec: InputSpec, context: Context) -> torch.Tensor:
    """What the network gives for every training image: (N, K), computed once, and not again after a resume."""
    found = read_tensors(context.checkpoint, FILE)
    if found is not None:
        return found["answers"].to(context.device)
    answers_NK = outputs(module, context.data.train.normalized_as(spec), context)
    if context.checkpoint and context.ranks.leads:
        write_tensors(context.checkpoint, FILE, {"answers": answers_NK})
    return answers_NK


def on_device(teacher: Model, context: Context) -> nn.Module:
    """A copy of the teacher's network where training runs."""
    import torch

    return copy.deepcopy(teacher.module).to(context.device).to(memory_format=torch.channels_last)


def renormalization(source: InputSpec, target: InputSpec, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """From images x_NCHW as one model normalizes them to the other's."""
    import torch

    mean, std, new_mean, new_std = (
        torch.tensor(values, device=device).view(1, -1, 1, 1)
        for values in (source.mean, source.std, target.mean, target.std)
    )
    scale, shift = std / new_std, (mean - new_mean) / new_std
    return lambda x_NCHW: x_NCHW * scale + shift
