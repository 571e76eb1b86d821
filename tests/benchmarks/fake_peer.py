"""A peer without packages: its logits are the image's channel sums, and it fails where it is told to."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import Made

TITLE = "Fake"
ENVIRONMENT = "fake"
PACKAGES = ("numpy",)
PRECISIONS = ("float", "impossible", "mortal")
CALLS_TO_LIVE = 8


def make(order: Path, out: Path, precision: str) -> Made:
    print("told on standard output")
    os.write(1, b"and past Python\n")
    if precision == "impossible":
        raise ValueError("no such kernel")
    if precision == "crash":
        print("the last thing it said", file=sys.stderr)
        os._exit(3)
    if precision == "slow":
        time.sleep(60)
    (out / precision).write_text("weights")
    return Made(out / precision, f"from {order.name}")


def open(path: Path, threads: int) -> Any:
    assert threads == 1
    calls = 0

    def session(x_NCHW: Any) -> Any:
        nonlocal calls
        calls += 1
        if path.name == "mortal" and calls > CALLS_TO_LIVE:
            os._exit(4)
        time.sleep(0.001)
        return x_NCHW.sum(axis=(2, 3))

    return session
