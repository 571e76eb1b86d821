"""Networks of other people, with everything that channels can go through, are pruned exactly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torchvision.models as torchvision
from silence import assert_exact
from tiny import hand_made
from torch import nn

from pipeline.pruners.structured import Prune
from pipeline.stage import Context

few = partial(dict, num_classes=2, weights=None)


def shufflenet() -> nn.Module:
    """Halves of the channels, shuffled in every unit."""
    return torchvision.shufflenet_v2_x1_0(**few())


def resnext() -> nn.Module:
    """Convolutions in 32 groups."""
    return torchvision.ResNet(torchvision.resnet.Bottleneck, [1, 1, 1, 1], 2, groups=32, width_per_group=4)


def regnet() -> nn.Module:
    """Convolutions in groups whose number differs, and squeeze-excite."""
    return torchvision.regnet_y_400mf(**few())


def densenet() -> nn.Module:
    """Every layer reads a concatenation of all before it."""
    return torchvision.DenseNet(12, (3, 4, 3), 24, num_classes=2)


def squeezenet() -> nn.Module:
    """Concatenations of two, and a convolution for a head."""
    return torchvision.squeezenet1_1(**few())


def googlenet() -> nn.Module:
    """Concatenations of four."""
    return torchvision.googlenet(**few(), init_weights=False, aux_logits=False)


def convnext() -> nn.Module:
    """Linear layers over the last axis."""
    block = torchvision.convnext.CNBlockConfig
    return torchvision.ConvNeXt([block(16, 32, 1), block(32, None, 1)], num_classes=2)


# The share of weights left when half of all channels goes: more means that something could not be followed.
NETWORKS = {
    shufflenet: 0.4,
    resnext: 0.35,
    regnet: 0.35,
    densenet: 0.4,
    squeezenet: 0.4,
    googlenet: 0.75,
    convnext: 0.7,
}


@pytest.mark.parametrize("build", NETWORKS)
@pytest.mark.parametrize("ranking", ["local", "global"])
def test_pruned_exactly(build: Callable[[], nn.Module], ranking: str, context: Context) -> None:
    model = hand_made(build, edge=64)
    smaller = assert_exact(model, Prune(importance="random", ranking=ranking), context)
    left = sum(part.numel() for part in smaller.module.parameters()) / sum(
        part.numel() for part in model.module.parameters()
    )
    assert left < (NETWORKS[build] if ranking == "local" else 0.9)
