"""A process that measures alone for a moment, and writes down when."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pipeline.measure.machine import measuring_alone

TURNS, TURN_S = 5, 0.03


def main() -> None:
    lock, told = map(Path, sys.argv[1:])
    for _ in range(TURNS):
        with measuring_alone(lock):
            begin = time.monotonic()
            time.sleep(TURN_S)
            end = time.monotonic()
        with told.open("a") as file:
            file.write(f"{begin} {end}\n")


if __name__ == "__main__":
    main()
