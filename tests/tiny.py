"""Small networks: every family at its least width, and models of hand-written modules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import torch
from torch import nn

from pipeline.dataset import Splits
from pipeline.model import Blueprint, Model
from pipeline.models.architecture import Architecture
from pipeline.models.dense import Dense
from pipeline.models.efficientnet_lite import EfficientNetLite0
from pipeline.models.lenet import LeNet
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.models.mobilenet_v3 import MobileNetV3
from pipeline.models.mobilenet_v4 import MobileNetV4
from pipeline.models.resnet import CifarResNet, ResNet18, ResNet50
from pipeline.models.shufflenet_v2 import ShuffleNetV2
from pipeline.models.vgg import VGG
from pipeline.spec import InputSpec

FAMILIES: dict[str, Architecture] = {
    "dense": Dense(hidden=(32, 16)),
    "lenet": LeNet(width=0.25),
    "vgg11": VGG(depth=11, width=0.25, small=True),
    "resnet18": ResNet18(width=0.25, stem_stride=1),
    "resnet50": ResNet50(width=0.25, stem_stride=1),
    "cifar_resnet20": CifarResNet(width=0.5),
    "mobilenet_v2": MobileNetV2(width=0.25, stem_stride=1),
    "mobilenet_v2_tensorflow": MobileNetV2(width=0.25, stem_stride=1, second_stride=1, padding="tensorflow"),
    "mobilenet_v3_small": MobileNetV3(size="small", width=0.25, stem_stride=1),
    "mobilenet_v3_large": MobileNetV3(size="large", width=0.25, stem_stride=1),
    "mobilenet_v3_minimal": MobileNetV3(width=0.25, stem_stride=1, minimal=True),
    "mobilenet_v4": MobileNetV4(width=0.25, stem_stride=1),
    "efficientnet_lite0": EfficientNetLite0(width=0.25, stem_stride=1),
    "shufflenet_v2": ShuffleNetV2(width=0.25, stem_stride=1),
}
WORKSHOP: dict[str, Callable[[], nn.Module]] = {}


class HandMade(Blueprint):
    """A module from the workshop, by its name; known to the tests only."""

    kind: ClassVar[str] = "HandMade"
    name: str

    def skeleton(self) -> nn.Module:
        return WORKSHOP[self.name]().eval()


def hand_made(build: Callable[[], nn.Module], edge: int = 8, channels: int = 3, seed: int = 0) -> Model:
    """A model around the module that ``build`` makes, with random weights and statistics."""
    WORKSHOP[build.__name__] = build
    blueprint = HandMade(name=build.__name__)
    torch.manual_seed(seed)
    module = randomized(blueprint.skeleton(), seed)
    spec = InputSpec(size=(edge, edge), resize=edge, color="RGB" if channels == 3 else "L", **_plain(channels))
    return Model(module, blueprint, module.state_dict(), spec, ("a", "b"))


def _plain(channels: int) -> dict[str, tuple[float, ...]]:
    return {"mean": (0.5,) * channels, "std": (0.25,) * channels}


def randomized(module: nn.Module, seed: int) -> nn.Module:
    """Give every BatchNorm statistics, scales and shifts as training would, in place."""
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            shape = layer.running_mean.shape
            layer.running_mean.copy_(torch.randn(shape, generator=generator) * 0.1)
            layer.running_var.copy_(torch.rand(shape, generator=generator) + 0.5)
            if layer.affine:
                with torch.no_grad():
                    layer.weight.copy_(torch.rand(shape, generator=generator) + 0.5)
                    layer.bias.copy_(torch.randn(shape, generator=generator) * 0.1)
    return module


def family(name: str, like: Model, seed: int = 0) -> Model:
    """An untrained network of a family, with the input and classes of ``like``."""
    from pipeline.models.architecture import Network

    torch.manual_seed(seed)
    blueprint = Network(family=FAMILIES[name], shape=like.spec.shape, classes=len(like.classes))
    module = randomized(blueprint.skeleton(), seed)
    return replace(like, module=module, blueprint=blueprint, state=module.state_dict())


def inputs(model: Model, count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, *model.spec.shape, generator=torch.Generator().manual_seed(seed))


def fingerprint(model: Model) -> str:
    """A hash of every tensor of a model: of its state and of its module."""
    digest = hashlib.sha256()
    for tensors in (model.state, model.module.state_dict()):
        for name in sorted(tensors):
            digest.update(name.encode() + tensors[name].detach().numpy().tobytes())
    return digest.hexdigest()


class Plain(nn.Module):
    """Three convolutions, one of them depthwise, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 48, 1)
        self.three, self.four = nn.Conv2d(48, 48, 3, padding=1, groups=48), nn.Conv2d(48, 32, 1)
        self.relu, self.pool, self.head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.two(self.relu(self.one(x))))
        return self.head(self.pool(self.four(self.relu(self.three(x)))).flatten(1))


def plain_model(data: Splits) -> Model:
    """A quick one of every kind of layer, untrained, for grey images."""
    return replace(hand_made(Plain, channels=1), spec=data.spec, classes=data.classes)
