"""Folding BatchNorm away leaves the function as it was."""

from __future__ import annotations

import pytest
import torch
from tiny import FAMILIES, family, fingerprint, hand_made, inputs
from torch import nn

from pipeline.folding import folded
from pipeline.model import Model


def assert_equal(model: Model) -> nn.Module:
    before = fingerprint(model)
    result = folded(model.module)
    with torch.no_grad():
        wanted, found = model.module(inputs(model)), result(inputs(model))
    assert (wanted - found).abs().max() <= 1e-4 * max(1.0, float(wanted.abs().max()))
    assert fingerprint(model) == before
    return result


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_family(name: str, seed: int, untrained: Model) -> None:
    result = assert_equal(family(name, untrained, seed))
    assert not [layer for layer in result.modules() if isinstance(layer, nn.BatchNorm2d | nn.Dropout)]


class Twice(nn.Module):
    """One convolution, two BatchNorms: neither may be folded into what both read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.conv(self.one(self.conv(x)))).mean([2, 3])


class Branched(Twice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return (self.one(x) + self.two(x) + x).mean([2, 3])


class Lonely(Twice):
    """A BatchNorm that follows no convolution."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.one(x)).mean([2, 3])


class SharedNorm(Twice):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.one(self.conv(self.one(x))).mean([2, 3])


class Bare(nn.Module):
    """No bias before, no scale after."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)).mean([2, 3])


@pytest.mark.parametrize("build", [Twice, Branched, Lonely, SharedNorm, Bare])
def test_hand_made(build: type[nn.Module]) -> None:
    assert_equal(hand_made(build))
