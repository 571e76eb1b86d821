"""What a network does with images, as far as importances ask for it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pipeline.dataset import Samples
from pipeline.model import Model
from pipeline.pruners.channels import Groups, by_place
from pipeline.pruners.gains import gains
from pipeline.pruners.importance import ACTIVATION, TAYLOR, Importance
from pipeline.pruners.moments import moments
from pipeline.pruners.reconstruction import MOMENTS
from pipeline.stage import Context

if TYPE_CHECKING:
    import torch
    from torch import nn

BATCH = 32


def evidence(importance: Importance, model: Model, groups: Groups, context: Context) -> Mapping[str, torch.Tensor]:
    """The tensors that an importance is a function of: the weights, and what calibration images showed.

    Only "taylor", "activation" and "reconstruction" look at images; they do so once, for all groups.

    Raises:
        Interrupted, Terminated: told to stop.
    """
    if importance == "reconstruction":
        return {**with_moments(model, groups, context), **gains(model, groups, context)}
    if importance not in ("taylor", "activation"):
        return model.state
    module = copy.deepcopy(model.module).to(context.device)
    found = Watched(module, groups, gradients=importance == "taylor")
    for start in range(0, len(context.data.calibration), BATCH):
        found.see(context.data.calibration, start)
        context.progress(min(start + BATCH, len(context.data.calibration)), len(context.data.calibration), importance)
        context.stop.check()
    # Every process of a run must come to the same choice, whatever the last bits of its sums.
    return {**model.state, **{name: context.ranks.mean(value) for name, value in found.tensors().items()}}


def with_moments(model: Model, groups: Groups, context: Context) -> dict[str, torch.Tensor]:
    """The weights, and moments of what layers read, which is all that refitting them takes.

    Raises:
        Interrupted, Terminated: told to stop.
    """
    return {**model.state, **{f"{name}{MOMENTS}": found for name, found in moments(model, groups, context).items()}}


class Watched:
    """A network whose layers tell what they read.

    Args:
        gradients: tell each input times its gradient, and not its size.
    """

    def __init__(self, module: nn.Module, groups: Groups, gradients: bool) -> None:
        self.module, self.gradients = module.requires_grad_(False), gradients
        self.parts: dict[str, list[torch.Tensor]] = {}
        self.batch: dict[str, torch.Tensor] = {}
        for layer in groups.layers:
            if layer.reads is not None:
                module.get_submodule(layer.name).register_forward_pre_hook(self._teller(layer.name))

    def see(self, samples: Samples, start: int) -> None:
        """Answer the next batch of labelled images, and note what its layers read."""
        import torch
        from torch.nn import functional as F

        x_NCHW = torch.from_numpy(samples.x_NCHW(start, start + BATCH)).to(next(self.module.parameters()).device)
        with torch.set_grad_enabled(self.gradients):
            logits_NK = self.module(x_NCHW.requires_grad_(self.gradients))
            if self.gradients:
                samples.check_labelled()
                labels_N = torch.from_numpy(samples.labels_N[start : start + BATCH]).to(x_NCHW.device)
                torch.autograd.backward(F.cross_entropy(logits_NK, labels_N, reduction="sum"))
        for name, value_NF in self.batch.items():
            self.parts.setdefault(name, []).append(value_NF.cpu())
        self.batch.clear()

    def _teller(self, name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def tell(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            x = inputs[0]
            if self.gradients:
                read = x.detach()  # a hook that held x itself would keep the whole graph from being freed
                x.register_hook(lambda gradient: self._keep(name, layer, read * gradient))
            else:
                self._keep(name, layer, x.abs())

        return tell

    def _keep(self, name: str, layer: nn.Module, value: torch.Tensor) -> None:
        """Sum a product, or average a size, over all places of a feature: (N, F); over all uses of the layer."""
        value_NPF = by_place(layer, value)
        value_NF = value_NPF.sum(1) if self.gradients else value_NPF.mean(1)
        self.batch[name] = self.batch[name] + value_NF if name in self.batch else value_NF

    def tensors(self) -> dict[str, torch.Tensor]:
        """(N, F) by layer, or (F,) where sizes were asked for."""
        import torch

        if self.gradients:
            return {f"{name}{TAYLOR}": torch.cat(parts) for name, parts in self.parts.items()}
        return {f"{name}{ACTIVATION}": torch.cat(parts).mean(0) for name, parts in self.parts.items()}
