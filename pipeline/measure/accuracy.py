"""A session's answers for a whole split, and how good they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.dataset import Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

ANY_BATCH = 64
BINS = 15


def answers(session: Session, samples: Samples, batch: int = 0) -> NDArray[np.float32]:
    """logits_NK for every image of a split.

    Args:
        session: anything that maps x_NCHW to logits_NK.
        batch: images a call; 0 where the session takes any number.
    """
    import numpy as np

    step = batch or ANY_BATCH
    return np.concatenate([session(samples.x_NCHW(i, i + step)) for i in range(0, len(samples), step)])


def top_k(logits_NK: NDArray[np.float32], labels_N: NDArray[np.int64], k: int) -> int:
    """How many images have their label among the ``k`` largest logits."""
    import numpy as np

    best_Nk = np.argpartition(logits_NK, -k, axis=1)[:, -k:]
    return int((best_Nk == labels_N[:, None]).any(axis=1).sum())


def per_class(right_N: NDArray[np.bool_], labels_N: NDArray[np.int64], classes: int) -> tuple[float | None, ...]:
    """Share of each class's images that is right; None where a class has no image."""
    import numpy as np

    images_K = np.bincount(labels_N, minlength=classes)
    right_K = np.bincount(labels_N[right_N], minlength=classes)
    return tuple(float(right / images) if images else None for right, images in zip(right_K, images_K, strict=True))


def confidence(logits_NK: NDArray[np.float32]) -> NDArray[np.float32]:
    """confidence_N: the softmax's largest share, in [1/K, 1]."""
    import numpy as np

    shifted = logits_NK.astype(np.float64) - logits_NK.max(axis=1, keepdims=True)
    found: NDArray[np.float32] = (1 / np.exp(shifted).sum(axis=1)).astype(np.float32)
    return found


def calibration_error(confidence_N: NDArray[np.float32], right_N: NDArray[np.bool_]) -> float:
    """Expected calibration error (Naeini et al., 2015; Guo et al., 2017): how far confidence is from being right.

    The mean over bins of equal width, weighted by their images, of |mean confidence − share right|;
    a fraction of 1.
    """
    import numpy as np

    bin_N = np.minimum((confidence_N * BINS).astype(int), BINS - 1)
    excess_B = np.bincount(bin_N, weights=confidence_N - right_N, minlength=BINS)
    return float(np.abs(excess_B).sum() / len(right_N))
