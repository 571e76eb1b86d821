"""Families answer like the networks they are named after, and keep their parts' promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny import randomized
from torch import nn
from torch.nn import functional as F

from pipeline.measure.size import count_macs, count_params
from pipeline.models._layers import pad_like_tensorflow, same_padding
from pipeline.models.architecture import Architecture, Network, scaled
from pipeline.models.dense import Dense
from pipeline.models.efficientnet_lite import EfficientNetLite0
from pipeline.models.lenet import LeNet
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.models.mobilenet_v3 import MobileNetV3
from pipeline.models.mobilenet_v4 import MobileNetV4
from pipeline.models.resnet import CifarResNet, ResNet18, ResNet50
from pipeline.models.vgg import VGG
from pipeline.spec import InputSpec


def network(family: Architecture, edge: int = 64, classes: int = 10, channels: int = 3) -> nn.Module:
    return Network(family=family, shape=(channels, edge, edge), classes=classes).skeleton()


def layers(module: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [layer for layer in module.modules() if isinstance(layer, kind)]


TORCHVISION: dict[str, tuple[Architecture, Callable[..., nn.Module]]] = {
    "resnet18": (ResNet18(), torchvision.models.resnet18),
    "resnet50": (ResNet50(), torchvision.models.resnet50),
    "mobilenet_v2": (MobileNetV2(), torchvision.models.mobilenet_v2),
    "mobilenet_v3_large": (MobileNetV3(size="large"), torchvision.models.mobilenet_v3_large),
}


def assert_equal(ours: nn.Module, theirs: nn.Module, edge: int = 64) -> None:
    theirs = randomized(theirs.eval(), seed=0)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x_NCHW = torch.randn(2, 3, edge, edge, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(x_NCHW), theirs(x_NCHW), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_network_is_torchvisions(name: str) -> None:
    family, theirs = TORCHVISION[name]
    assert_equal(network(family), theirs(num_classes=10))


def test_vggs_layers_are_torchvisions() -> None:
    with torch.device("meta"):  # half a gigabyte otherwise
        theirs = torchvision.models.vgg13_bn(init_weights=False)
    ours = VGG(depth=13, width=0.25).network((3, 64, 64), 10)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [type(layer) for layer in ours.features] == [type(layer) for layer in theirs.features]  # type: ignore[union-attr]


def test_mobilenet_v4_is_timms() -> None:
    timm = pytest.importorskip("timm")
    assert_equal(network(MobileNetV4(), 96), timm.create_model("mobilenetv4_conv_small", num_classes=10), 96)


@pytest.mark.parametrize(
    ("family", "edge", "params", "mega_macs"),
    [
        (ResNet50(), 224, 25_557_032, 4089),
        (MobileNetV3(size="large", minimal=True), 224, 3_924_288, 209),
        (MobileNetV4(), 224, 3_774_024, 186),
        (EfficientNetLite0(), 224, 4_652_008, 385),
        (CifarResNet(depth=20), 32, 269_722 + 16 * 32 + 32 * 64 + 2 * (32 + 64), 41),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_published_sizes(family: Architecture, edge: int, params: int, mega_macs: int) -> None:
    blueprint = Network(family=family, shape=(3, edge, edge), classes=10 if edge == 32 else 1000)
    assert count_params(blueprint) == params
    assert count_macs(blueprint, InputSpec(size=(edge, edge), resize=edge)) / 1e6 == pytest.approx(mega_macs, abs=1)


def test_minimal_mobilenet_v3_has_nothing_but_small_convolutions_and_relu() -> None:
    module = network(MobileNetV3(size="large", width=0.25, minimal=True))
    assert {layer.kernel_size for layer in layers(module, nn.Conv2d)} == {(1, 1), (3, 3)}
    assert not layers(module, nn.Hardswish)
    assert not layers(module, nn.Hardsigmoid)


# --- strides and sizes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "edge"),
    [
        (MobileNetV2(width=0.25), 1),
        (MobileNetV2(width=0.25, stem_stride=1), 2),
        (MobileNetV2(width=0.25, stem_stride=1, second_stride=1), 4),
        (MobileNetV2(width=0.25, stem_stride=1, second_stride=1, padding="tensorflow"), 4),
        (MobileNetV4(width=0.25, stem_stride=1), 2),
    ],
)
def test_small_images_keep_their_pixels(family: Architecture, edge: int) -> None:
    """The last convolution before pooling sees so many pixels of 32."""
    module, seen = network(family, 32), []
    last = [layer for layer in layers(module, nn.Conv2d) if layer.out_channels != layer.in_channels]
    before_head = last[-2] if isinstance(family, MobileNetV4) else last[-1]
    before_head.register_forward_hook(lambda _layer, _x, y_NCHW: seen.append(tuple(y_NCHW.shape[2:])))
    module(torch.zeros(1, 3, 32, 32))
    assert seen == [(edge, edge)]


@pytest.mark.parametrize("edge", [1, 3, 8, 17, 33])
def test_vgg_takes_images_of_any_size(edge: int) -> None:
    module = network(VGG(depth=11, width=0.25, small=True), edge)
    assert module(torch.zeros(1, 3, edge, edge)).shape == (1, 10)


def test_dense_without_hidden_layers_is_the_perceptron() -> None:
    module = network(Dense(hidden=()), edge=8, channels=1)
    assert [tuple(layer.weight.shape) for layer in layers(module, nn.Linear)] == [(10, 64)]


def test_lenet_without_norm_has_biases() -> None:
    with_norm, without = (network(LeNet(norm=norm), 28, channels=1) for norm in (True, False))
    assert [layer.bias is None for layer in layers(with_norm, nn.Conv2d)] == [True, True]
    assert [layer.bias is None for layer in layers(without, nn.Conv2d)] == [False, False]
    assert not layers(without, nn.BatchNorm2d)


@given(channels=st.integers(1, 2048), width=st.floats(0.1, 2.0))
def test_scaled_widths_are_round_and_lose_little(channels: int, width: float) -> None:
    found = scaled(channels, width)
    assert found % 8 == 0
    assert found >= 0.9 * channels * width
    assert found <= max(8, channels * width + 8)


# --- TensorFlow's padding --------------------------------------------------------------------


@given(edge=st.integers(1, 64), kernel=st.sampled_from([1, 3, 5, 7]), stride=st.integers(1, 3))
def test_same_padding_keeps_every_strided_pixel(edge: int, kernel: int, stride: int) -> None:
    before, after = same_padding(edge, kernel, stride)
    assert after - before in (0, 1)
    assert (edge + before + after - kernel) // stride + 1 == -(-edge // stride) or kernel < stride


@pytest.mark.parametrize("edges", [(32, 32), (33, 33), (30, 22), (7, 5)])
def test_padding_is_at_the_bottom_and_right(edges: tuple[int, int]) -> None:
    first, second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 5, 2, 2)
    module = nn.Sequential(first, nn.Sequential(second, nn.ReLU()))
    names = list(module.state_dict())
    pad_like_tensorflow(module, *edges)
    assert list(module.state_dict()) == names
    x_NCHW = torch.randn(2, 3, *edges)
    wanted = x_NCHW
    for layer in (first, second):
        down, across = (same_padding(edge, layer.kernel_size[0], 2) for edge in wanted.shape[2:])
        wanted = F.conv2d(F.pad(wanted, (*across, *down)), layer.weight, layer.bias, 2)
    with torch.no_grad():
        torch.testing.assert_close(module(x_NCHW), wanted.relu())


@pytest.mark.parametrize("family", [MobileNetV2, EfficientNetLite0])
def test_both_paddings_share_their_weights(family: type[Any]) -> None:
    one, other = (network(family(width=0.25, padding=padding)) for padding in ("symmetric", "tensorflow"))
    assert set(one.state_dict()) == set(other.state_dict())
    assert len(layers(other, nn.ZeroPad2d)) == 5
    assert not layers(one, nn.ZeroPad2d)


# --- published weights -----------------------------------------------------------------------

PUBLISHED: list[tuple[Architecture, dict[str, Any]]] = [
    (ResNet18(weights="imagenet"), {"width": 0.5}),
    (ResNet50(weights="imagenet"), {"stem_stride": 1}),
    (VGG(depth=11, weights="imagenet"), {"small": True}),
    (MobileNetV2(weights="imagenet"), {"padding": "tensorflow"}),
    (MobileNetV3(weights="imagenet"), {"minimal": True}),
    (MobileNetV3(size="large", weights="imagenet"), {"stem_stride": 1}),
    (EfficientNetLite0(weights="imagenet"), {"padding": "symmetric"}),
]


@pytest.mark.parametrize(("family", "changes"), PUBLISHED, ids=lambda value: getattr(value, "kind", ""))
def test_published_weights_are_for_the_published_form(family: Architecture, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"no weights of {family.kind} are published but for"):
        type(family)(**{**family.model_dump(), **changes})


@pytest.mark.parametrize("family", [Dense, LeNet, CifarResNet, MobileNetV4])
def test_families_without_published_weights_say_so(family: type[Architecture]) -> None:
    with pytest.raises(ValidationError, match="are published; give a file"):
        family(weights="imagenet")


@pytest.mark.parametrize("family", [family for family, _ in PUBLISHED[:6]], ids=lambda family: family.kind)
def test_normalization_is_torchvisions(family: Architecture) -> None:
    weights = torchvision.models.get_weight(family.published().name)  # type: ignore[union-attr]
    transforms = weights.transforms()
    assert (tuple(transforms.mean), tuple(transforms.std)) == family.normalization
    assert len(weights.meta["categories"]) == 1000
