"""Real weights below ``EDGEWRIGHT_DATA`` answer as well as their publishers say."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.dataset import Samples, Splits
from pipeline.images import Held
from pipeline.models.architecture import Architecture
from pipeline.models.efficientnet_lite import EfficientNetLite0
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.models.resnet import CifarResNet
from pipeline.spec import InputSpec
from pipeline.stage import Context

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not os.environ.get("EDGEWRIGHT_DATA"), reason="EDGEWRIGHT_DATA is not set"),
]
ROOT = Path(os.environ.get("EDGEWRIGHT_DATA", "."))
HALF = {"mean": (0.5,) * 3, "std": (0.5,) * 3}


def top1(family: Architecture, samples: Samples, classes: int) -> float:
    splits = Splits(samples, samples, samples, tuple(map(str, range(classes))), samples.spec)
    model = family(None, Context(splits))
    x_NCHW = samples.normalized_as(model.spec).x_NCHW()
    return float((model.logits_NK(x_NCHW, batch=16).argmax(1) == samples.labels_N).mean())


def weights(name: str) -> str:
    path = ROOT / "weights" / name
    if not path.is_file():
        pytest.skip(f"{name} is not there")
    return str(path)


@pytest.fixture(scope="module")
def photographs() -> Samples:
    """Every twentieth image of ImageNet's validation set that is here."""
    spec = InputSpec(size=(224, 224), resize=256, interpolation="bicubic")
    folder = ROOT / "imagenet_val"
    with (folder / "val1300.csv").open() as file:
        rows = list(csv.DictReader(file))[::20]
    fitted = [spec.fit(np.asarray(Image.open(folder / "val1300" / row["file"]).convert("RGB"))) for row in rows]
    return Samples(Held(np.stack(fitted)), np.array([int(row["label"]) for row in rows]), spec)


@pytest.fixture(scope="module")
def cifar10() -> Samples:
    """The first 500 test images, from a mosaic of 100 × 100."""
    mosaic = np.asarray(Image.open(ROOT / "cifar10" / "test_batch.webp").convert("RGB"))
    images_NHWC = mosaic.reshape(100, 32, 100, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)[:500]
    with np.load(ROOT / "cifar10" / "labels.npz", allow_pickle=False) as labels:
        labels_N = labels["test"][:500].astype(np.int64)
    return Samples(Held(images_NHWC), labels_N, InputSpec(size=(32, 32), resize=32))


@pytest.mark.parametrize(
    ("family", "name", "fields"),
    [
        (EfficientNetLite0, "efficientnet_lite0-57934424.pth", {}),
        (MobileNetV2, "mobilenet_v2_tf_deq.pth.xz", {"padding": "tensorflow", **HALF}),
    ],
)
def test_imagenet(family: Any, name: str, fields: dict[str, Any], photographs: Samples) -> None:
    """83.2 and 80.5 % of 1300 images; 65 of them may be luckier or not."""
    assert top1(family(weights=weights(name), **fields), photographs, 1000) >= 0.75


@pytest.mark.parametrize(
    ("depth", "name"), [(20, "cifar10_resnet20-12fca82f.pth"), (56, "cifar10_resnet56-4bfd9763.pth")]
)
def test_cifar10(depth: Any, name: str, cifar10: Samples) -> None:
    """91.7 and 93.4 % of 10,000 images."""
    assert top1(CifarResNet(depth=depth, weights=weights(name)), cifar10, 10) >= 0.9
