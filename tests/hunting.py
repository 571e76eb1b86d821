"""A worker of a shared search, as a process of its own: ``python hunting.py FOLDER TRIALS SECONDS``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pipeline.results import Interval
from pipeline.tuners._combination import Combination, Tried
from pipeline.tuners._hunt import Hunt, Space

SPACE = Space((0.0, 0.3, 0.5), ("labels", "teacher"), ("none", "after", "aware"))


def measured(combination: Combination) -> Tried:
    """Pruning is fast and loses much, int8 fast and loses little."""
    speed = (1 + combination.ratio) * {"none": 1.0, "after": 2.0, "aware": 2.0}[combination.quantization]
    loss = combination.ratio / 50 + {"none": 0.0, "after": 0.01, "aware": 0.002}[combination.quantization]
    return Tried(
        combination=combination,
        top1=0.9 - loss,
        loss=Interval(value=loss, low=loss - 0.001, high=loss + 0.001),
        speed=Interval(value=speed, low=0.98 * speed, high=1.02 * speed),
        p50_ms=1 / speed,
    )


def main(folder: Path, trials: int, seconds: float) -> None:
    with Hunt(folder, SPACE, trials, seed=0) as hunt:
        while (asked := hunt.next()) is not None:
            print(asked[0], flush=True)
            time.sleep(seconds)
            hunt.tell(asked[0], measured(asked[1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
