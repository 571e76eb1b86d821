"""Channels are followed through hand-written graphs, and left alone where they cannot be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from silence import assert_exact
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


class Squeezed(Network):
    """Squeeze-excite: (N, C, 1, 1) times (N, C, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(8, 6, 1), nn.Conv2d(6, 8, 1)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1)
        return x * F.hardsigmoid(self.up(F.relu(self.down(pooled))))


class Grouped(Network):
    """Two groups of four."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = conv(8, 8, groups=2)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.grouped(x)


class GroupedConcat(Network):
    """Groups that hold channels of two layers."""

    def __init__(self) -> None:
        super().__init__(features=12)
        self.other, self.grouped = conv(8, 8), conv(16, 12, groups=4)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.grouped(torch.cat([x, self.other(x)], 1))


class Multiplied(Network):
    """A depthwise convolution with two filters a channel."""

    def __init__(self) -> None:
        super().__init__(features=16)
        self.grouped = conv(8, 16, groups=8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.grouped(x)


class Shuffled(Network):
    """A shuffle as ShuffleNet writes it, then convolutions in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(8, 8, groups=2), conv(8, 8, groups=2)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = x.size()
        x = self.one(x).view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return self.two(x.view(batch, channels, height, width))


class ShuffledLayer(Network):
    """Four parts, and a layer that mixes them."""

    def __init__(self) -> None:
        super().__init__()
        self.shuffle, self.after = nn.ChannelShuffle(4), conv(8, 8, groups=2)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.shuffle(x))


class Halved(Network):
    """Halves of the channels take turns in convolutions, as in ShuffleNetV2."""

    def __init__(self) -> None:
        super().__init__(features=16)
        self.left, self.right = conv(8, 8), conv(8, 8)
        self.units = nn.ModuleList(conv(8, 8) for _ in range(4))

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat((self.left(x), self.right(x)), dim=1)
        for layer in self.units:
            passed, read = torch.channel_shuffle(x, 2).chunk(2, dim=1)
            x = torch.cat((passed, F.relu(layer(read))), dim=1)
        return x


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


class ChannelsLast(Network):
    """Linear layers over the last axis, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(8, 8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Broadcast(Network):
    """One map weighs all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = conv(8, 1)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(self.attention(x))


class Rectified(Network):
    """A learned slope a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.slopes, self.after = nn.PReLU(8), conv(8, 8)
        self.slopes.weight.data = torch.rand(8)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.slopes(self.after(x))


class Enlarged(Network):
    """Other heights and widths, in four ways."""

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.interpolate(x, scale_factor=2), 2)
        return F.avg_pool2d(x, 2).flatten(2).mean(-1)[:, :, None, None]


class Sliced(Network):
    """Only the first channels are read, and only some rows of them."""

    def __init__(self) -> None:
        super().__init__(features=6)
        self.after = conv(4, 6)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(x[:, :4])[:, :, 1:-1]


# --- heads of one's own ---------------------------------------------------------------------


class Perceptron(Network):
    """Several linear layers, with a BatchNorm between."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(), nn.Linear(12, 2))


class ConvolutionalHead(Network):
    """No linear layer at all."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.norm(self.stem(x)))).mean([2, 3])


class TwoHeads(Network):
    """What one head says is added to what another says."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = F.relu(self.norm(self.stem(x))).mean([2, 3])
        return self.head(pooled) + self.other(F.gelu(pooled))


class Viewed(Network):
    """Flattened by a view that asks for the batch."""

    def __init__(self) -> None:
        super().__init__(features=8 * 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        return self.head(x.view(x.size(0), -1))


BUILDS = [
    Concat, ConcatAdded, Flattened, FlattenedTwice, Residual, ZeroPadded, NormWithoutScale, Squeezed, Grouped,
    GroupedConcat, Multiplied, Shuffled, ShuffledLayer, Halved, Shared, SharedNorm, ChannelsLast, Broadcast, Rectified,
    Enlarged, Sliced, Perceptron, ConvolutionalHead, TwoHeads, Viewed,
]  # fmt: skip


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("ratio", [0.5, 0.25])
def test_followed_exactly(build: Callable[[], nn.Module], ratio: float, context: Context) -> None:
    smaller = assert_exact(hand_made(build), Prune(ratio=ratio, round_to=1, importance="random"), context)
    assert len(smaller.state["stem.weight"]) == 4 if ratio == 0.5 else 8


class BareNorm(Network):
    """BatchNorm without scale and shift."""

    def __init__(self) -> None:
        super().__init__()
        self.bare = nn.BatchNorm2d(8, affine=False)

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.bare(x)


def test_a_norm_without_scale_is_cut(context: Context) -> None:
    smaller = HALF(hand_made(BareNorm), context)
    assert smaller.module.bare.running_mean.shape == (4,)
    assert smaller.module.bare.weight is None


def test_groups_of_a_convolution_lose_as_much_each(context: Context) -> None:
    smaller = HALF(hand_made(Grouped), context)
    assert smaller.module.grouped.groups == 2
    assert smaller.state["grouped.weight"].shape == (4, 2, 3, 3)


def test_several_filters_a_channel_go_with_it(context: Context) -> None:
    smaller = HALF(hand_made(Multiplied), context)
    assert smaller.module.grouped.groups == 4
    assert smaller.state["grouped.weight"].shape == (8, 1, 3, 3)


def test_what_a_shuffle_mixes_has_one_width() -> None:
    model = hand_made(Halved)
    groups = find_groups(model.module, model.spec.shape)
    [family] = [family for family in groups.together if len(family) > 1]
    assert {name for space in family for name in groups.makers[space]} == {
        "left",
        "right",
        *(f"units.{i}" for i in range(3)),  # what the last unit makes is only read
    }
    assert all(groups.multiples[space] % 2 == 0 for space in family)


# --- what cannot be followed is left alone -------------------------------------------------


class Unknown(Network):
    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(x, 1)


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


class Tied(Network):
    """Two layers that share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = conv(8, 8), conv(8, 8)
        self.two.weight = self.one.weight

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x))


class TwoNames(Network):
    """One layer under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one = conv(8, 8)
        self.two = self.one

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(self.one(x))


class Cosine(Network):
    """A head that holds its weight itself."""

    def __init__(self) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.rand(2, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.normalize(F.relu(self.norm(self.stem(x))).mean([2, 3]))
        return F.linear(x, self.prototypes)


class WrittenDown(Network):
    """A view with the number of channels in it."""

    def __init__(self) -> None:
        super().__init__(features=8 * 64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.norm(self.stem(x))).view(-1, 8 * 64))


class PartsWrittenDown(Network):
    """A shuffle and a split with the numbers of channels in them."""

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        x = x.reshape(-1, 2, 4, 8, 8).transpose(1, 2).reshape(-1, 8, 8, 8)
        first, second = x.split([4, 4], 1)
        return torch.cat([second, first], 1)


FROZEN = [
    Unknown, PaddedWithOnes, Scaled, OverThePixels, MeanOfChannels, Tied, TwoNames, Cosine, WrittenDown,
    PartsWrittenDown,
]  # fmt: skip


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
    smaller = assert_exact(hand_made(PartlyKnown), HALF, context)
    assert len(smaller.state["stem.weight"]) == 8
    assert len(smaller.state["one.weight"]) == 6


class TiedBeside(PartlyKnown):
    """Layers that share a weight, beside others that can be pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = conv(8, 8), conv(8, 8)
        self.right.weight = self.left.weight

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return super().middle(self.right(self.left(x)))


def test_shared_weights_stay_shared(context: Context) -> None:
    smaller = assert_exact(hand_made(TiedBeside), HALF, context)
    assert len(smaller.state["one.weight"]) == 6
    assert smaller.module.left.weight is smaller.module.right.weight
    assert smaller.module.left.weight.shape == (8, 8, 3, 3)


# --- what cannot be traced ------------------------------------------------------------------


class Branching(Network):
    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


class Sized(Network):
    """Works with images of another size only."""

    def middle(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, 8, 7, 7)


def test_a_branch_on_values_is_named_with_its_line() -> None:
    model = hand_made(Branching)
    with pytest.raises(StageFailed, match="cannot be traced") as refused:
        find_groups(model.module, model.spec.shape)
    assert "control flow" in refused.value.cause
    assert "in middle, test_groups.py:" in refused.value.cause
    assert "return x if x.sum() > 0 else -x" in refused.value.cause
    assert len(refused.value.lines()) <= 4


def test_an_operation_that_fails_is_named() -> None:
    model = hand_made(Sized)
    with pytest.raises(StageFailed, match=r"cannot be traced for pruning: reshape \(reshape\): shape '\[1, 8, 7, 7\]'"):
        find_groups(model.module, model.spec.shape)
