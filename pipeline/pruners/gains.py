"""What an answer hears of an error in a layer, and what the layer costs: so that layers can be compared."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.dataset import Samples
from pipeline.model import Model
from pipeline.pruners.channels import Groups, by_place
from pipeline.stage import Context

if TYPE_CHECKING:
    import torch
    from torch import nn

GAIN, PLACES = ".gain", ".places"
BATCH = 32


def gains(model: Model, groups: Groups, context: Context) -> dict[str, torch.Tensor]:
    """Of every convolution and linear layer, by its name and ``GAIN`` or ``PLACES``, two scalars.

    The gain is the mean square by which all logits together change for each unit of an error's mean square: from
    gradients of random sums of logits (Hutchinson, 1990), as labels that a network knows by heart have none. The error
    is the same at all places of a map, as that of a channel which the others cannot make up for mostly is: one that
    differs from place to place would be averaged away at the end. The places are those of the layer's output; one for
    a linear layer.

    Raises:
        Interrupted, Terminated: told to stop.
    """
    samples = context.data.calibration.normalized_as(model.spec)
    heard = Heard(copy.deepcopy(model.module).to(context.device).eval(), groups, context.seed)
    for start in range(0, len(samples), BATCH):
        heard.see(samples, start)
        context.progress(min(start + BATCH, len(samples)), len(samples), "gains")
        context.stop.check()
    return {name: context.ranks.mean(value) for name, value in heard.tensors(len(samples)).items()}


class Heard:
    """A network whose layers tell how loud their outputs are in its answers."""

    def __init__(self, module: nn.Module, groups: Groups, seed: int) -> None:
        import torch
        from torch import nn

        self.module, self.random = module.requires_grad_(False), torch.Generator().manual_seed(seed)
        self.totals: dict[str, torch.Tensor] = {}
        self.places: dict[str, int] = {}
        weighty = nn.Conv2d | nn.Linear
        for layer in groups.layers:
            if isinstance(its_module := module.get_submodule(layer.name), weighty):
                its_module.register_forward_hook(self._listener(layer.name))

    def see(self, samples: Samples, start: int) -> None:
        """Answer the next images, and add up what is heard of every layer."""
        import torch

        x_NCHW = torch.from_numpy(samples.x_NCHW(start, start + BATCH)).to(next(self.module.parameters()).device)
        logits_NK = self.module(x_NCHW.requires_grad_())
        signs_NK = torch.randint(0, 2, logits_NK.shape, generator=self.random).to(logits_NK) * 2 - 1
        torch.autograd.backward((logits_NK * signs_NK).sum())

    def _listener(self, name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...], torch.Tensor], None]:
        def listen(layer: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            self.places[name] = by_place(layer, output).shape[1]
            output.register_hook(lambda gradient: self._keep(name, layer, gradient))

        return listen

    def _keep(self, name: str, layer: nn.Module, gradient: torch.Tensor) -> None:
        """What the answers hear of an error that is the same at all places, as the mean over channels."""
        value = by_place(layer, gradient).sum(1).square().mean(1).sum().cpu()
        self.totals[name] = self.totals[name] + value if name in self.totals else value

    def tensors(self, images: int) -> dict[str, torch.Tensor]:
        """Gains and places by layer; a layer that no answer hears of has gain 0."""
        import torch

        found = {}
        for name, places in self.places.items():
            found[f"{name}{GAIN}"] = self.totals.get(name, torch.zeros(())) / images
            found[f"{name}{PLACES}"] = torch.tensor(float(places))
        return found
