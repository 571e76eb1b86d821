"""PyTorch as it comes: the float module, called."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.peer import FLOAT, Made

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from benchmarks.peers.peer import Session

TITLE = "PyTorch eager"
ENVIRONMENT = "torch"
PACKAGES = ("torch",)
PRECISIONS = (FLOAT,)


def make(order: Path, out: Path, _precision: str) -> Made:
    return Made(Path(shutil.copytree(order / "network", out / "network", dirs_exist_ok=True)))


def open(path: Path, threads: int) -> Session:
    import torch

    from pipeline.model import Model

    torch.set_num_threads(threads)
    return session(Model.load(path).module)


def session(module: Callable[[torch.Tensor], torch.Tensor]) -> Session:
    import torch

    def answer(x_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits_NK: NDArray[np.float32] = module(torch.from_numpy(x_NCHW)).numpy()
        return logits_NK

    return answer
