"""Runs inside a peer's environment: ``python -m benchmarks.peers.server PEER``.

One JSON object a line comes in, one goes out: ``{"ok": …}`` or ``{"error": "…"}``. Needs nothing
but numpy and the peer's own packages.

    {"facts": true}                                   -> {"versions": {DISTRIBUTION: VERSION}}
    {"make": PRECISION, "order": FOLDER, "out": FOLDER} -> {"file": PATH, "note": "…"}
    {"open": PATH, "threads": N, "image": X.npy}      -> true; the image (1, C, H, W) is what is timed
    {"time": CALLS}                                   -> milliseconds of each call, after one untimed
    {"answers": X.npy, "to": LOGITS.npy}              -> true; one image a call
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.peer import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.peers.peer import Peer, Session

Request = Mapping[str, Any]
MOST_PADDING_BYTES = 2**18


class Server:
    """A peer with at most one file open."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.session: Session | None = None
        self.image_1CHW: NDArray[np.float32] | None = None
        self.padding = bytearray()

    def facts(self, _: Request) -> dict[str, Any]:
        return {"versions": {name: version(name) for name in self.peer.PACKAGES}}

    def make(self, request: Request) -> dict[str, str]:
        out = Path(request["out"])
        out.mkdir(parents=True, exist_ok=True)
        made = self.peer.make(Path(request["order"]), out, request["make"])
        return {"file": str(made.file), "note": made.note}

    def open(self, request: Request) -> bool:
        self.session = None  # what was open goes first
        gc.collect()
        # Another place in memory than before: what a file's place does belongs into the measurement.
        self.padding = bytearray(int(np.random.default_rng().integers(MOST_PADDING_BYTES)))
        self.session = self.peer.open(Path(request["open"]), request["threads"])
        self.image_1CHW = np.load(request["image"])
        return True

    def time(self, request: Request) -> list[float]:
        assert self.session is not None, "nothing is open"
        assert self.image_1CHW is not None
        self.session(self.image_1CHW)
        return timed(self.session, self.image_1CHW, request["time"])

    def answers(self, request: Request) -> bool:
        assert self.session is not None, "nothing is open"
        x_NCHW = np.load(request["answers"], mmap_mode="r")
        parts = [np.array(self.session(np.ascontiguousarray(x_NCHW[i : i + 1]))) for i in range(len(x_NCHW))]
        np.save(request["to"], np.concatenate(parts))
        return True


def timed(session: Session, x_1CHW: NDArray[np.float32], calls: int) -> list[float]:
    """Milliseconds of each call, with no garbage collection inside."""
    times = []
    gc.disable()
    try:
        for _ in range(calls):
            start = time.perf_counter_ns()
            session(x_1CHW)
            times.append((time.perf_counter_ns() - start) / 1e6)
    finally:
        gc.enable()
    return times


def answer(commands: Mapping[str, Callable[[Request], Any]], line: str) -> dict[str, Any]:
    """One request's answer; whatever goes wrong is told, and its traceback goes to stderr."""
    try:
        request = json.loads(line)
        name = next(iter(request))
        return {"ok": commands[name](request)}
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}


def own_stdout() -> IO[str]:
    """Standard output for the answers alone: what libraries print there goes to stderr from now on."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def main() -> None:
    out = own_stdout()
    server = Server(load(sys.argv[1]))
    commands = {name: getattr(server, name) for name in ("facts", "make", "open", "time", "answers")}
    for line in sys.stdin:
        print(json.dumps(answer(commands, line)), file=out, flush=True)


if __name__ == "__main__":
    main()
