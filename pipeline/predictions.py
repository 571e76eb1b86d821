"""``predictions.npz``: what every variant said of every test image, so that runs can be compared later."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREDICTIONS = "predictions.npz"


@dataclass(frozen=True)
class Predictions:
    """Variants stand in the order of the results, images in the order of the test split.

    Attributes:
        labels_N: int32. top1_VN: int32 class numbers.
        confidence_VN: float32, the softmax's largest share.
        mistakes_M: int32 numbers of some test images that the recommended variant gets wrong.
        mistakes_MHWC: uint8, those images, small.
    """

    labels_N: NDArray[np.int32]
    top1_VN: NDArray[np.int32]
    confidence_VN: NDArray[np.float32]
    mistakes_M: NDArray[np.int32]
    mistakes_MHWC: NDArray[np.uint8]

    def right_N(self, variant: int) -> NDArray[np.bool_]:
        """Which images a variant gets right."""
        right_N: NDArray[np.bool_] = self.top1_VN[variant] == self.labels_N
        return right_N

    def to_bytes(self) -> bytes:
        import numpy as np

        buffer = io.BytesIO()
        np.savez_compressed(buffer, **vars(self))
        return buffer.getvalue()

    @classmethod
    def load(cls, folder: Path) -> Predictions | None:
        """The predictions beside a run's results; None where there are none.

        Raises:
            UsageError: they are damaged.
        """
        import numpy as np

        path = folder / PREDICTIONS
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**arrays)
        except (OSError, ValueError, TypeError, EOFError, zlib.error, zipfile.BadZipFile):
            raise UsageError(f"{path} is damaged", "run the study again") from None
