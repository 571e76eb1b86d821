"""Unfinished training on disk: one file, whole or not there: its sha256, then safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import CorruptFile
from pipeline.files import write_files
from pipeline.model import load_state
from pipeline.trainers.optimizer import Average

if TYPE_CHECKING:
    import torch
    from torch import nn

FILE = "training.safetensors"
MODULE, AVERAGE, OPTIMIZER, STEP, BATCH = "module:", "average:", "optimizer:", "step", "batch"
DIGEST_BYTES = 32


@dataclass(frozen=True)
class Learner:
    """Everything that a step of training changes.

    Attributes:
        average: the moving average of the module, where one is kept.
        batch: images a step; less than planned where memory ran out.
    """

    module: nn.Module
    optimizer: torch.optim.Optimizer
    average: Average | None
    batch: int


def save_checkpoint(folder: Path | None, learner: Learner, step: int) -> None:
    """Write weights, their average, optimizer state and the number of finished steps."""
    if folder is None:
        return
    import torch

    tensors = {f"{MODULE}{name}": tensor for name, tensor in learner.module.state_dict().items()}
    if learner.average is not None:
        tensors |= {f"{AVERAGE}{name}": tensor for name, tensor in learner.average.module.state_dict().items()}
    for index, state in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"{OPTIMIZER}{index}:{name}": value for name, value in state.items() if value is not None}
    tensors |= {STEP: torch.tensor(step), BATCH: torch.tensor(learner.batch)}
    write_tensors(folder, FILE, tensors)


def read_checkpoint(folder: Path | None) -> dict[str, torch.Tensor]:
    """What was saved; nothing where there is no checkpoint.

    Raises:
        CorruptFile: the checkpoint is not the one that was written.
    """
    return read_tensors(folder, FILE) or {}


def restore(learner: Learner, tensors: Mapping[str, torch.Tensor]) -> int:
    """Bring a learner to where the checkpoint was written; returns the number of finished steps."""
    if not tensors:
        return 0
    load_state(learner.module, _below(tensors, MODULE))
    if learner.average is not None:
        load_state(learner.average.module, _below(tensors, AVERAGE))
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in _below(tensors, OPTIMIZER).items():
        index, _, field = name.partition(":")
        state.setdefault(int(index), {})[field] = tensor
    groups = learner.optimizer.state_dict()["param_groups"]
    learner.optimizer.load_state_dict({"state": state, "param_groups": groups})
    return int(tensors[STEP])


def _below(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def write_tensors(folder: Path, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
    """Write a file that vouches for itself."""
    from safetensors.torch import save

    content = save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()})
    write_files(folder, {name: hashlib.sha256(content).digest() + content})


def read_tensors(folder: Path | None, name: str) -> dict[str, torch.Tensor] | None:
    """What was written, None where nothing was.

    Raises:
        CorruptFile: it is not what was written.
    """
    if folder is None or not (path := folder / name).is_file():
        return None
    from safetensors.torch import load

    digest, content = (whole := path.read_bytes())[:DIGEST_BYTES], whole[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise CorruptFile(f"{path} is not the checkpoint that was written", "remove it and run again")
    return load(content)
