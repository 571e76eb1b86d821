"""A session's answers for a whole split."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.dataset import Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

ANY_BATCH = 64


def answers(session: Session, samples: Samples, batch: int = 0) -> NDArray[np.float32]:
    """logits_NK for every image of a split.

    Args:
        session: anything that maps x_NCHW to logits_NK.
        batch: images a call; 0 where the session takes any number.
    """
    import numpy as np

    step = batch or ANY_BATCH
    return np.concatenate([session(samples.x_NCHW(i, i + step)) for i in range(0, len(samples), step)])
