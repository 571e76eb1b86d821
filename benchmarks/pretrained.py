"""Other people's weights, through this project's data and model code: do they answer as they should?

    EDGEWRIGHT_DATA=DATA python -m benchmarks.pretrained

Wants ``imagenet_val/``, ``cifar10/`` and the files of ``weights/`` below the data root. Prints top-1
of each network beside what it is known to reach, writes the figures to
``benchmarks/results/<machine>/pretrained.json``, and exits 1 where one is off. Minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.figure import Figure, tell

if TYPE_CHECKING:
    from pipeline.dataset import DataSet, Samples
    from pipeline.models.architecture import Architecture

COMMAND = "python -m benchmarks.pretrained"


class Known(NamedTuple):
    """What a network with its weights reaches elsewhere.

    Attributes:
        file: below ``weights/`` of the data root.
        top1: per cent.
        within: how far the figure may be off, in points.
    """

    family: Architecture
    file: str
    top1: float
    within: float


def networks() -> dict[str, list[Known]]:
    """Networks by the data set they are measured on."""
    from pipeline.models.efficientnet_lite import EfficientNetLite0
    from pipeline.models.mobilenet_v2 import MobileNetV2
    from pipeline.models.resnet import CifarResNet

    tensorflow = MobileNetV2(padding="tensorflow", mean=(0.5,) * 3, std=(0.5,) * 3)
    return {
        "imagenet": [
            Known(EfficientNetLite0(), "efficientnet_lite0-57934424.pth", 83.23, 0.2),
            Known(tensorflow, "mobilenet_v2_tf_deq.pth.xz", 80.54, 0.2),
        ],
        "cifar10": [
            Known(CifarResNet(depth=20), "cifar10_resnet20-12fca82f.pth", 91.73, 0.005),
            Known(CifarResNet(depth=56), "cifar10_resnet56-4bfd9763.pth", 93.39, 0.005),
        ],
    }


def top1(known: Known, data: DataSet, parts: Iterable[Samples]) -> float:
    """Per cent of the images in all parts that the network names rightly."""
    import numpy as np

    from pipeline.data._root import data_root
    from pipeline.measure.accuracy import answers
    from pipeline.stage import Context

    weights = str(data_root() / "weights" / known.file)
    model = known.family.model_copy(update={"weights": weights})(None, Context(data.splits))
    right = [answers(model.logits_NK, part.normalized_as(model.spec)).argmax(1) == part.labels_N for part in parts]
    return 100 * float(np.concatenate(right).mean())


def main() -> int:
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    from pipeline.dataset import read_source

    figures = []
    for name, known in networks().items():
        data = read_source(name).load()
        # Nothing is trained: of ImageNet's images those set aside for calibration and validation count too.
        parts = list(data.parts.values()) if name == "imagenet" else [data.test]
        count = sum(map(len, parts))
        for one in known:
            found = top1(one, data, parts)
            title = f"{one.file.partition('-')[0].partition('.')[0]}: top-1 {found:.2f} %, known {one.top1} %"
            figures.append(Figure(f"{title}, {count:,} images: points off", abs(found - one.top1), one.within))
    return tell("pretrained", COMMAND, figures)


if __name__ == "__main__":
    sys.exit(main())
