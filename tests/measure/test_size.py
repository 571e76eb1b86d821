"""Learned numbers and multiply-accumulates, counted by hand."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from tiny import hand_made
from torch import Tensor, nn

from pipeline.measure.size import compressed_bytes, convolution_share, count_macs, count_params, float_network
from pipeline.model import Model
from pipeline.models.architecture import Network
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.models.mobilenet_v3 import MobileNetV3
from pipeline.models.resnet import ResNet18
from pipeline.pruners.resized import Resized
from pipeline.spec import InputSpec


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.deep = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.deep(self.conv(x))).mean([2, 3]))


CONV, DEEP, NORM, HEAD = 4 * 3 * 9, 4 * 9 + 4, 4 + 4, 4 * 2 + 2


def test_by_hand() -> None:
    model = hand_made(Small, edge=8)
    assert count_params(model.blueprint) == CONV + DEEP + NORM + HEAD
    convolutions, linear = 64 * 4 * 3 * 9 + 16 * 4 * 9, 4 * 2
    assert count_macs(model.blueprint, model.spec) == convolutions + linear
    assert convolution_share(model.blueprint, model.spec) == pytest.approx(convolutions / (convolutions + linear))


def test_pruned_by_hand() -> None:
    model = hand_made(Small, edge=8)
    widths = {"conv": (2, 3), "deep": (2, 2), "norm": (2, 2), "head": (2, 2)}
    smaller = Resized(of=model.blueprint, widths=widths)
    assert count_params(smaller) == CONV // 2 + DEEP // 2 + NORM // 2 + 2 * 2 + 2
    assert count_macs(smaller, model.spec) == 64 * 2 * 3 * 9 + 16 * 2 * 9 + 2 * 2


def test_quantization_changes_neither_count(trained: Model, int8: Model, dense: Model, dynamic: Model) -> None:
    for before, after in ((trained, int8), (dense, dynamic)):
        assert count_params(after.blueprint) == count_params(before.blueprint)
        assert count_macs(after.blueprint, after.spec) == count_macs(before.blueprint, before.spec)
    assert convolution_share(dynamic.blueprint, dynamic.spec) == 0
    assert type(float_network(int8.blueprint)) is type(trained.module)


@pytest.mark.parametrize(
    ("family", "params", "mega_macs"),
    [(ResNet18(), 11_689_512, 1814), (MobileNetV2(), 3_504_872, 301), (MobileNetV3(), 2_542_856, 57)],
)
def test_published_sizes(family: object, params: int, mega_macs: int) -> None:
    """torchvision's published numbers for 1000 classes at 224 pixels."""
    blueprint = Network(family=family, shape=(3, 224, 224), classes=1000)
    assert count_params(blueprint) == params
    assert round(count_macs(blueprint, InputSpec(size=(224, 224), resize=256)) / 1e6) == pytest.approx(mega_macs, abs=2)


@pytest.mark.parametrize("count", [0, 1, 5_000_000])
def test_a_file_is_packed_in_blocks_as_in_one_piece(count: int, tmp_path: Path) -> None:
    content = np.random.default_rng(0).integers(0, 7, count, np.uint8).tobytes()
    (tmp_path / "file").write_bytes(content)
    assert compressed_bytes(tmp_path / "file") == len(zlib.compress(content, 6))


def test_random_weights_hardly_pack_and_zeros_do(tmp_path: Path) -> None:
    sizes = {}
    for name, content in (("random", np.random.default_rng(0).bytes(100_000)), ("zeros", bytes(100_000))):
        (tmp_path / name).write_bytes(content)
        sizes[name] = compressed_bytes(tmp_path / name)
    assert sizes["random"] > 99_000
    assert sizes["zeros"] < 1000
