"""Images and labels that somebody saved with numpy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from pipeline.data._arrays import divided
from pipeline.data._npz import read_npz
from pipeline.dataset import DataSet, Source
from pipeline.progress import Progress, silent
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Npz(Source):
    """Arrays in one .npz file: x_train, y_train, x_test, y_test, and class names if you like.

    Attributes:
        path: the file.
        size: edge of the network's input, in pixels; the images' own shorter edge when 0.
        validation: share of the training images kept for validation, each class alike.
    """

    kind: ClassVar[str] = "npz"
    path: str
    size: int = Field(default=0, ge=0)
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1

    @classmethod
    def from_text(cls, text: str) -> Npz:
        return cls(path=text)

    def load(self, progress: Progress = silent) -> DataSet:
        file = Path(self.path).expanduser()
        train, test, classes = read_npz(file)
        size = self.size or min(train.x_NHWC.shape[1:3])
        mean, std = statistics(train.x_NHWC)
        color = "RGB" if len(mean) == 3 else "L"
        spec = InputSpec(size=(size, size), resize=size, color=color, mean=mean, std=std)
        return divided(train, test, classes, spec, self.validation, f"arrays in {file.name}")


def statistics(x_NHWC: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of images from 0 to 1, to four decimals."""
    import numpy as np

    counts_CV = np.stack([np.bincount(x_NHWC[..., c].ravel(), minlength=256) for c in range(x_NHWC.shape[3])])
    share_CV = counts_CV / counts_CV.sum(1, keepdims=True)
    values = np.arange(256) / 255
    mean_C = share_CV @ values
    deviation_C = np.sqrt((share_CV * (values - mean_C[:, None]) ** 2).sum(1))
    # Images of one colour still need something to divide by.
    std_C = np.maximum(deviation_C, 1 / 255)
    return tuple(mean_C.round(4).tolist()), tuple(std_C.round(4).tolist())
