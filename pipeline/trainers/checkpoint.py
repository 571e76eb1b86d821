"""Unfinished training on disk: one file, whole or not there: its sha256, then safetensors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import CorruptFile
from pipeline.files import write_files
from pipeline.model import load_state

if TYPE_CHECKING:
    import torch
    from torch import nn

FILE = "training.safetensors"
MODULE, OPTIMIZER, STEP = "module:", "optimizer:", "step"
DIGEST_BYTES = 32


def save_checkpoint(folder: Path | None, module: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write weights, optimizer state and the number of finished steps."""
    if folder is None:
        return
    import torch
    from safetensors.torch import save

    tensors = {f"{MODULE}{name}": tensor for name, tensor in module.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"{OPTIMIZER}{index}:{name}": value for name, value in state.items() if value is not None}
    tensors[STEP] = torch.tensor(step)
    content = save({name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()})
    write_files(folder, {FILE: hashlib.sha256(content).digest() + content})


def load_checkpoint(folder: Path | None, module: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Restore what was saved; returns the number of finished steps, 0 without a checkpoint.

    Raises:
        CorruptFile: the checkpoint is not the one that was written.
    """
    if folder is None or not (folder / FILE).is_file():
        return 0
    tensors = _verified(folder / FILE)
    step = int(tensors.pop(STEP))
    load_state(module, {name.removeprefix(MODULE): t for name, t in tensors.items() if name.startswith(MODULE)})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMIZER):
            index, _, field = name.removeprefix(OPTIMIZER).partition(":")
            state.setdefault(int(index), {})[field] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return step


def _verified(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load

    digest, content = (whole := path.read_bytes())[:DIGEST_BYTES], whole[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        raise CorruptFile(f"{path} is not the checkpoint that was written", "remove it and run again")
    return load(content)
