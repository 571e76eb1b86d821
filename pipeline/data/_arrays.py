"""Data sets that come as arrays: fitted whole, divided, and held in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.dataset import DataSet, Samples, split
from pipeline.images import Held
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RAW = 32  # test images that are kept as they came


@dataclass(frozen=True)
class Arrays:
    """Images with labels, as a data set's files give them.

    Attributes:
        x_NHWC: uint8 (N, height, width, channels).
        y_N: int64 class indices.
    """

    x_NHWC: NDArray[np.uint8]
    y_N: NDArray[np.int64]

    def fitted(self, spec: InputSpec) -> Samples:
        """The images as a network takes them."""
        return Samples(Held(fitted(self.x_NHWC, spec)), self.y_N, spec)


def fitted(x_NHWC: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.uint8]:
    """Every image fitted by ``spec``: (N, height, width, channels)."""
    import numpy as np

    if x_NHWC.shape[1:3] == spec.size and spec.resize == min(spec.size):
        return x_NHWC  # fitting would multiply by the identity
    return np.stack([spec.fit(image) for image in x_NHWC])


def divided(
    train: Arrays, test: Arrays, classes: tuple[str, ...], spec: InputSpec, validation: float, source: str
) -> DataSet:
    """A data set with its own test images, its validation images taken from train, each class alike.

    Args:
        validation: their share of the training images.
        source: one sentence: where the images come from.

    Raises:
        DataError: there are too few images.
    """
    splits = split(train.fitted(spec), (1 - validation, validation, 0.0), classes)[0]
    return DataSet(splits, test.fitted(spec), tuple(test.x_NHWC[:RAW]), source)
