"""Equalization: the same function, with channels that use their ranges alike."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import family, hand_made, inputs
from torch import fx, nn
from torch.nn import functional as F

from pipeline.folding import folded
from pipeline.model import Model
from pipeline.quantizers._equalization import _pairs, equalized
from pipeline.quantizers.post_training import PostTraining
from pipeline.stage import Context


class Chain(nn.Module):
    """Two convolutions with something between them, and logits."""

    between: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3)
        uneven(self.first)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = x if self.between is None else type(self).between(x)  # type: ignore[misc]
        return self.second(x).mean([2, 3])


class Adjacent(Chain):
    """Nothing between the two."""


class Rectified(Chain):
    between = torch.relu


class RectifiedByLayer(Chain):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.relu(self.first(x))).mean([2, 3])


class RectifiedByMethod(Chain):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).relu()).mean([2, 3])


class WithNorm(Chain):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        uneven(self.first)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.norm(self.first(x)))).mean([2, 3])


class Biasless(Chain):
    between = torch.relu

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, bias=False)
        uneven(self.first)


class Depthwise(Chain):
    """As in inverted residuals: pointwise, depthwise, pointwise."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.third = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 4, 1)
        self.second = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        uneven(self.first)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(torch.relu(self.second(torch.relu(self.first(x))))).mean([2, 3])


class Six(Chain):
    between = F.relu6


class Swish(Chain):
    between = F.hardswish


class Halved(Chain):
    between = F.leaky_relu


class Branching(Chain):
    """Two read the first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        return self.second(torch.relu(x)).mean([2, 3]) + x.mean([1, 2, 3])[:, None]


class BranchingBehindRelu(Chain):
    """Two read the ReLU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        return self.second(x).mean([2, 3]) + x.mean([1, 2, 3])[:, None]


class Twice(Chain):
    """The second is called on the first's output and on its own."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(6, 6, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.second(torch.relu(self.first(x))))).mean([2, 3])


class TwiceFirst(Chain):
    """The first is called on two images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        one, other = self.first(x), self.first(x.flip(3))
        return self.second(torch.relu(one)).mean([2, 3]) + other.mean([1, 2, 3])[:, None]


class Grouped(Chain):
    """Neither dense nor depthwise."""

    between = torch.relu

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(6, 4, 3, groups=2)


class Widening(Chain):
    """A depthwise layer that gives two channels for each."""

    between = torch.relu

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(6, 12, 3, groups=6)


EQUALIZED = (Adjacent, Rectified, RectifiedByLayer, RectifiedByMethod, WithNorm, Biasless, Depthwise)
LEFT_ALONE = (Six, Swish, Halved, Branching, BranchingBehindRelu, Twice, TwiceFirst, Grouped, Widening)


def uneven(layer: nn.Conv2d) -> None:
    """Channels whose weights differ a hundredfold, as BatchNorm leaves them."""
    with torch.no_grad():
        layer.weight *= torch.logspace(-1, 1, len(layer.weight)).view(-1, 1, 1, 1)


def ranges(module: nn.Module, first: str, second: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest weight of each channel between two layers: of what gives it, and of what reads it."""
    one, other = module.get_submodule(first).weight, module.get_submodule(second).weight
    read = other if module.get_submodule(second).groups > 1 else other.transpose(0, 1)
    return one.detach().abs().amax((1, 2, 3)), read.detach().abs().amax((1, 2, 3))


def both(model: Model) -> tuple[fx.GraphModule, fx.GraphModule]:
    """The folded network before and after."""
    before = folded(model.module)
    return before, equalized(copy.deepcopy(before))


def assert_same_function(model: Model, before: nn.Module, after: nn.Module) -> None:
    with torch.no_grad():
        wanted, found = before(inputs(model, 4)), after(inputs(model, 4))
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


@pytest.mark.parametrize("build", EQUALIZED)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_function_is_kept_and_ranges_become_equal(build: type[nn.Module], seed: int) -> None:
    model = hand_made(build, seed=seed)
    before, after = both(model)
    assert_same_function(model, before, after)
    one, other = ranges(before, "first", "second")
    assert float((one / other).max() / (one / other).min()) > 10
    torch.testing.assert_close(*ranges(after, "first", "second"), rtol=0.01, atol=0)


def test_a_chain_of_three_is_equal_at_both_joints() -> None:
    _, after = both(hand_made(Depthwise))
    torch.testing.assert_close(*ranges(after, "second", "third"), rtol=0.01, atol=0)


@pytest.mark.parametrize("build", LEFT_ALONE)
def test_is_left_alone(build: type[nn.Module]) -> None:
    before, after = both(hand_made(build))
    for (name, tensor), other in zip(before.state_dict().items(), after.state_dict().values(), strict=True):
        assert torch.equal(tensor, other), name


@given(exponents=st.lists(st.floats(-2, 2), min_size=6, max_size=6), seed=st.integers(0, 9))
def test_any_scale_of_channels_is_undone(exponents: list[float], seed: int) -> None:
    """Scaling channels of the first against the second is what equalization removes."""
    model = hand_made(Rectified, seed=seed)
    scaled = folded(model.module)
    scale = 10 ** torch.tensor(exponents)
    with torch.no_grad():
        scaled.first.weight *= scale.view(-1, 1, 1, 1)
        scaled.first.bias *= scale
        scaled.second.weight /= scale.view(1, -1, 1, 1)
    plain, again = equalized(folded(model.module)), equalized(scaled)
    for (name, tensor), other in zip(plain.state_dict().items(), again.state_dict().values(), strict=True):
        torch.testing.assert_close(other, tensor, rtol=0.01, atol=1e-6, msg=name)


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "cifar_resnet20", "mobilenet_v3_minimal", "mobilenet_v4"])
def test_every_family_with_relus(name: str, untrained: Model) -> None:
    model = family(name, untrained)
    before, after = both(model)
    assert_same_function(model, before, after)
    pairs = zip(before.state_dict().values(), after.state_dict().values(), strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("name", ["mobilenet_v3_minimal", "mobilenet_v4", "resnet50"])
def test_long_chains_come_close_everywhere(name: str, untrained: Model) -> None:
    _, after = both(family(name, untrained))
    pairs = [pair for pair in _pairs(after) if pair.second.groups in (1, pair.first.out_channels)]
    assert len(pairs) > 15
    for one, other in pairs:
        read = other.weight if other.groups > 1 else other.weight.transpose(0, 1)
        found, wanted = (weight.detach().abs().amax((1, 2, 3)) for weight in (one.weight, read))
        torch.testing.assert_close(found, wanted, rtol=0.03, atol=0)


def without_weights(layer: str, everything: bool = False) -> tuple[Model, fx.GraphModule, fx.GraphModule]:
    """A chain in which one channel, or all, of a layer has weights of zero, before and after."""
    model = hand_made(Rectified)
    before = folded(model.module)
    with torch.no_grad():
        weight = before.get_submodule(layer).weight
        (weight if everything else weight[:, 1] if layer == "second" else weight[1]).zero_()
        before.first.bias.fill_(0.5)
    return model, before, equalized(copy.deepcopy(before))


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("layer", ["first", "second"])
def test_weights_of_zero(layer: str, everything: bool) -> None:
    model, before, after = without_weights(layer, everything)
    assert all(bool(tensor.isfinite().all()) for tensor in after.state_dict().values())
    assert_same_function(model, before, after)


def test_a_filter_of_zeros_does_not_blow_up_its_channel() -> None:
    """It gives its bias everywhere; were that scaled without bound, int8 would have no steps for the others."""
    _, before, after = without_weights("first")
    wanted, found = (float(module.first.bias.detach().abs().max()) for module in (before, after))
    assert found <= 100 * wanted


class Dead(Chain):
    """For the digits, with one filter of zeros that gives its bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 10, 3)
        with torch.no_grad():
            self.first.weight[2] = 0
            self.first.bias.fill_(0.5)

    between = torch.relu


def test_int8_with_a_filter_of_zeros(context: Context) -> None:
    model = replace(hand_made(Dead, channels=1), spec=context.data.spec, classes=context.data.classes)
    x_NCHW = context.data.validation.x_NCHW()
    wanted, found = (net.logits_NK(x_NCHW) for net in (model, PostTraining(equalize=True)(model, context)))
    assert np.square(found - wanted).mean() < 0.01 * np.square(wanted - wanted.mean(0)).mean()
