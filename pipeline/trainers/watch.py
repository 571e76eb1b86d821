"""What happens beside the steps of training: loss and signals are looked at, progress told, checkpoints saved."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from pipeline.errors import NotANumber, Terminated
from pipeline.stage import Context
from pipeline.trainers.checkpoint import Learner, save_checkpoint

if TYPE_CHECKING:
    import torch

CHECKPOINT_EVERY_S = 15.0
# Looking at a loss waits for the device. A GPU is waited for once in so many steps only.
GPU_STEPS = 16


class Watch:
    """Looks at training from step ``first`` to ``total``.

    On the CPU each loss is looked at before it changes a weight. On a GPU a loss that is not a
    number is found within ``GPU_STEPS`` steps; what they did is thrown away with the stage.
    """

    def __init__(self, context: Context, learner: Learner, first: int, total: int, batch: int) -> None:
        self.context, self.learner, self.first, self.total, self.batch = context, learner, first, total, batch
        self.started = self.saved = time.monotonic()
        self.every = 1 if context.device == "cpu" else GPU_STEPS
        self.loss, self.stopping = 0.0, False

    def looks(self, step: int) -> bool:
        return step % self.every == 0 or step + 1 == self.total

    def before_update(self, step: int, value: torch.Tensor) -> None:
        """Look at a step's loss, and at whether any process was told to stop.

        Raises:
            NotANumber: the loss is NaN or infinite.
        """
        if not self.looks(step):
            return
        import torch

        seen = torch.stack([value.detach().float(), value.new_tensor(float(self.context.stop.received)).float()])
        self.loss, stopping = self.context.ranks.mean(seen).tolist()
        self.stopping = stopping > 0
        if not math.isfinite(self.loss):
            raise NotANumber(f"the loss became {self.loss} at step {step + 1} of {self.total}", "lower lr")

    def after_update(self, step: int) -> None:
        """Tell progress; save where it is time or the run was told to stop.

        Raises:
            Interrupted, Terminated: it was told to stop.
        """
        if not self.looks(step):
            return
        now = time.monotonic()
        rate = (step + 1 - self.first) * self.batch / max(now - self.started, 1e-9)
        self.context.progress(step + 1, self.total, f"loss {self.loss:.3f}, {rate:,.0f} images/s")
        # A signal that came during this very step is seen by all processes in the next one.
        stopping = self.stopping or (self.context.ranks.world == 1 and self.context.stop.received)
        if not (stopping or now - self.saved > CHECKPOINT_EVERY_S):
            return
        if self.context.ranks.leads:
            save_checkpoint(self.context.checkpoint, self.learner, step + 1)
        self.saved = now
        if stopping:
            self.context.stop.check()
            raise Terminated("another process of this run was told to stop", "run the same command again to go on")
