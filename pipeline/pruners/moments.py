"""Second moments of what layers read: how much of each feature the others tell."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.model import Model
from pipeline.pruners.channels import Groups, by_place
from pipeline.stage import Context
from pipeline.trainers.outputs import outputs

if TYPE_CHECKING:
    import torch
    from torch import nn

PLACES = 16_384  # of the maps of one batch: more tell nothing new
WIDEST = 4_096  # features; a flattened image has more, and their moments would not fit in memory


def moments(model: Model, groups: Groups, context: Context) -> dict[str, torch.Tensor]:
    """Mean products of every two features that a layer reads, over calibration images and places.

    Returns:
        (F, F) float64 by the layer's name; only of layers that are not grouped and not too wide.

    Raises:
        Interrupted, Terminated: told to stop.
    """
    module = copy.deepcopy(model.module).to(context.device).eval()
    found = Products(module, groups)
    outputs(module, context.data.calibration.normalized_as(model.spec), context, "moments")
    return {name: context.ranks.mean(total_FF / found.places[name]) for name, total_FF in found.totals.items()}


class Products:
    """Sums of products over all that a network's layers have read so far.

    Attributes:
        totals: (F, F) by layer. places: how many each is a sum of.
    """

    def __init__(self, module: nn.Module, groups: Groups) -> None:
        self.totals: dict[str, torch.Tensor] = {}
        self.places: dict[str, int] = {}
        for layer in groups.layers:
            if layer.reads is not None and layer.groups == 1 and len(layer.reads.spaces) <= WIDEST:
                module.get_submodule(layer.name).register_forward_pre_hook(self._adder(layer.name))

    def _adder(self, name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def add(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            x_PF = by_place(layer, inputs[0]).flatten(0, 1)
            x_PF = x_PF[:: -(-len(x_PF) // PLACES)].double().cpu()
            product_FF = x_PF.T @ x_PF
            self.totals[name] = self.totals[name] + product_FF if name in self.totals else product_FF
            self.places[name] = self.places.get(name, 0) + len(x_PF)

        return add
