"""The processes that train together: one leader, and those that follow it.

``torchrun --nproc-per-node N -m pipeline run STUDY`` starts the same command N times. The
leader does everything and alone writes; the others help it train, and otherwise wait.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

# A follower waits while the leader exports and measures.
PATIENCE = timedelta(days=7)
NO_MORE = -1


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this is.

    Attributes:
        rank: 0 is the leader.
        world: how many there are.
        local: which of this machine's processes; the number of its GPU.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def announce(self, work: int) -> None:
        """Tell the followers which piece of work comes next; they wait in ``hear``."""
        if self.world > 1:
            self.hear(work)

    def hear(self, work: int = NO_MORE) -> int:
        """The leader's next piece of work; ``NO_MORE`` when there is none."""
        import torch

        said = torch.tensor(work)
        torch.distributed.broadcast(said, src=0)
        return int(said)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of every process's ``value``; each gets the same tensor back."""
        import torch

        if self.world > 1:
            torch.distributed.all_reduce(value)
            value /= self.world
        return value

    def together(self, module: nn.Module) -> nn.Module:
        """The module, with gradients averaged over all processes; itself where there is one."""
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(module) if self.world > 1 else module


ALONE = Ranks()


def leading() -> bool:
    """Whether this process is the leader, or alone; known before anything is loaded."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that torchrun has given to this process; one alone where it has not."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE
        return
    import torch

    # Tensors on the CPU, such as what comes next, travel by gloo; gradients of a GPU by NCCL.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    torch.distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield Ranks(int(os.environ["RANK"]), world, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        torch.distributed.destroy_process_group()
