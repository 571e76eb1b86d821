"""Channels are followed through hand-written graphs, and left alone where they cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from test_structured import assert_exact
from tiny import hand_made
from torch import nn
from torch.nn import functional as F

from pipeline.errors import StageFailed
from pipeline.pruners.groups import find_groups
from pipeline.pruners.structured import Prune
from pipeline.stage import Context

HALF = Prune(ratio=0.5, round_to=1)


def conv(inputs: int, outputs: int, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups)


class Network(nn.Module):
    """A stem of 8 channels, whatever ``middle`` does with them, and a head of two logits."""

    def __init__(self, features: int = 8) -> None:
        super().__init__()
        self.stem, self.norm = conv(3, 8), nn.BatchNorm2d(8)
        self.head = nn.Linear(features, 2)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        return self.head(self.middle(x).mean([2, 3]))


class Concat(Network):
    def __init__(self) -> None:
        super().__init__(features=6)
        self.left, self.right, self.after = conv(8, 6), conv(8, 4), conv(18, 6)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(torch.cat([self.left(x), x, self.right(x)], 1))


class ConcatAdded(Network):
    """The two halves of a concatenation, each in a group with the other by an addition."""

    def __init__(self) -> None:
        super().__init__(features=12)
        self.left, self.right = conv(8, 6), conv(8, 6)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.left(x), self.right(x)
        return torch.cat([left, right], dim=1) + torch.cat([right, left], dim=1)


class Flattened(Network):
    def __init__(self) -> None:
        super().__init__(features=8 * 16)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.flatten(self.pool(F.relu(self.norm(self.stem(x)))), 1))


class FlattenedTwice(Network):
    """A concatenation is flattened; then a hidden layer, which can be pruned as well."""

    def __init__(self) -> None:
        super().__init__(features=10)
        self.other, self.pool, self.flat = conv(8, 5), nn.AdaptiveAvgPool2d(3), nn.Flatten()
        self.hidden, self.drop = nn.Linear(13 * 9, 10), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = self.flat(self.pool(torch.cat((x, self.other(x)), 1)))
        return self.head(self.drop(F.relu(self.hidden(x))))


class Residual(Network):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.deep = conv(8, 12), conv(12, 8), conv(8, 8, groups=8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.deep(x + self.two(F.hardswish(self.one(x))))


class ZeroPadded(Network):
    def __init__(self) -> None:
        super().__init__()
        self.pad, self.strided = nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 8, 3, 2)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.strided(self.pad(x))


class NormWithoutScale(Network):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm_2, self.two = conv(8, 12), nn.BatchNorm2d(12, affine=False), conv(12, 8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(F.relu(self.one(x)))


BUILDS = [Concat, ConcatAdded, Flattened, FlattenedTwice, Residual, ZeroPadded, NormWithoutScale]


@pytest.mark.parametrize("build", BUILDS)
def test_followed_exactly(build: Callable[[], nn.Module], context: Context) -> None:
    model = hand_made(build)
    pruned = assert_exact(model, HALF, context)
    assert len(pruned.state["stem.weight"]) == 4


class BareNorm(Network):
    """BatchNorm without scale and shift: nothing can be silenced, only cut."""

    def __init__(self) -> None:
        super().__init__()
        self.bare = nn.BatchNorm2d(8, affine=False)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.bare(x)


def test_a_norm_without_scale_is_cut(context: Context) -> None:
    pruned = HALF(hand_made(BareNorm), context)
    assert pruned.module.bare.running_mean.shape == (4,)
    assert pruned.module.bare.weight is None


# --- what cannot be followed is left alone -------------------------------------------------


class Grouped(Network):
    """Two groups of four: cutting a channel would change who sees whom."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = conv(8, 8, groups=2)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.grouped(x)


class Multiplied(Network):
    """A depthwise convolution with two filters a channel."""

    def __init__(self) -> None:
        super().__init__(features=16)
        self.grouped = conv(8, 16, groups=8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.grouped(x)


class Shared(Network):
    """One layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.again = conv(8, 8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(F.relu(self.again(x)))


class SharedNorm(Network):
    """One BatchNorm after two different convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.other = conv(8, 8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.other(x))


class Unknown(Network):
    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x, 1)


class UnknownLayer(Network):
    """No parameters, the same shape, and yet the channels change places."""

    def __init__(self) -> None:
        super().__init__()
        self.shuffle = nn.ChannelShuffle(4)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.shuffle(x)


class PaddedWithOnes(Network):
    """A channel that is silent has a border all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.pad = nn.ConstantPad2d(1, 1.0)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.pad(x)


class Scaled(Network):
    """A learned scale a channel, held by the network itself."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1, 8, 1, 1))

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


class ChannelsLast(Network):
    """Linear layers over the last axis, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class OverThePixels(Network):
    """A linear layer over the pixels; there are as many as channels."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.mix = nn.AdaptiveAvgPool2d((2, 4)), nn.Linear(8, 8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(self.pool(x).flatten(2)).unsqueeze(3)


class MeanOfChannels(Network):
    """A mean over the channels leaves rows where channels were, and there are as many."""

    def __init__(self) -> None:
        super().__init__(features=64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.norm(self.stem(x))).mean(1).flatten(1))


class Broadcast(Network):
    """One map weighs all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = conv(8, 1)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.attention(x))


FROZEN = [Unknown, PaddedWithOnes, Scaled, OverThePixels, MeanOfChannels]
FOLLOWED = [Grouped, Multiplied, Shared, SharedNorm, UnknownLayer, ChannelsLast, Broadcast]


@pytest.mark.parametrize("build", FOLLOWED)
def test_new(build: Callable[[], nn.Module], context: Context) -> None:
    pruned = assert_exact(hand_made(build), HALF, context)
    assert len(pruned.state["stem.weight"]) == 4


@pytest.mark.parametrize("build", FROZEN)
def test_what_cannot_be_followed_is_left_alone(build: Callable[[], nn.Module], context: Context) -> None:
    model = hand_made(build)
    with pytest.raises(StageFailed, match="removed nothing"):
        HALF(model, context)


class PartlyKnown(Network):
    """A branch that cannot be followed beside one that can."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(8, 12), conv(12, 8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x, 1) + self.two(F.relu(self.one(x)))


def test_the_rest_is_still_pruned(context: Context) -> None:
    pruned = assert_exact(hand_made(PartlyKnown), HALF, context)
    assert len(pruned.state["stem.weight"]) == 8
    assert len(pruned.state["one.weight"]) == 6


class Branching(Network):
    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def test_what_cannot_be_traced_is_an_error_for_people() -> None:
    model = hand_made(Branching)
    with pytest.raises(StageFailed, match="cannot be traced"):
        find_groups(model.module, model.spec.shape)
