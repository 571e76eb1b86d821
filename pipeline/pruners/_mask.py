"""Weights of which some stay zero while others are trained."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.utils import parametrize


class Mask(nn.Module):
    """What a weight is multiplied by before it is used: 1 where it stays, 0 where it goes."""

    def __init__(self, kept: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("kept", kept, persistent=False)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        masked: torch.Tensor = weight * self.get_buffer("kept")
        return masked


def masked(module: nn.Module, kept: Mapping[str, torch.Tensor]) -> nn.Module:
    """A copy of a network whose weights are masked, by name."""
    module = copy.deepcopy(module)
    for name, mask in kept.items():
        layer, dtype = module.get_submodule(name.removesuffix(".weight")), module.get_parameter(name).dtype
        parametrize.register_parametrization(layer, "weight", Mask(mask.to(dtype)))
    return module


def unmasked(module: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a masked network as if it had never been one, zeros included."""
    module = copy.deepcopy(module)
    for layer in list(module.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return dict(module.state_dict())
