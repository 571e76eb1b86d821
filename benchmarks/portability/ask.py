"""Has a file answer on a processor, in a process that may be slow, hang or die."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from benchmarks.portability.processors import Processor, start
from pipeline.errors import EdgewrightError
from pipeline.progress import Progress, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WORKER = Path(__file__).with_name("worker.py")
LIMIT_S = 300.0  # an emulated image takes seconds, and waking up some more; on a busy machine many times that
TOLD = 3


class ProcessorFailed(EdgewrightError):
    """A file did not answer on a processor: the process died, or was silent for too long."""


class Answers(NamedTuple):
    """What a file said on a processor.

    Attributes:
        logits_NK: float32. seen: the processor as the process saw it: architecture, features, onnxruntime.
        seconds: of a usual image.
    """

    logits_NK: NDArray[np.float32]
    seen: dict[str, Any]
    seconds: float


def ask(
    processor: Processor, file: Path, images: Path, limit_s: float = LIMIT_S, progress: Progress = silent
) -> Answers:
    """The answers to every image of ``images``, a file of (N, C, H, W) float32.

    Args:
        limit_s: a longer silence ends the process.

    Raises:
        UnavailableError: there is no such processor here, nor can it be emulated.
        ProcessorFailed: the process died or was ended; tells its last words.
    """
    import numpy as np

    begin, count = start(processor), len(np.load(images, mmap_mode="r"))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as words:
        logits = Path(folder) / "logits.npy"
        command = [*begin.command, *map(str, (WORKER, file, images, logits)), *processor.settings]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=words, text=True, env=dict(begin.environment)
        )
        said = []
        with process:
            for line in _lines(process, limit_s):
                said.append(json.loads(line))
                progress(len(said) - 1, count, processor.name)
        if process.returncode:
            raise ProcessorFailed(_last_words(processor, process.returncode, len(said), words))
        seconds = float(np.median([one["seconds"] for one in said[1:]]))
        return Answers(np.load(logits), said[0], seconds)


def _lines(process: subprocess.Popen[str], limit_s: float) -> Iterator[str]:
    """What it prints until it ends; it is ended when it is silent for too long, or nobody listens any more."""
    assert process.stdout is not None
    line = "."
    try:
        while line:
            watch = threading.Timer(limit_s, process.kill)
            watch.start()
            try:
                line = process.stdout.readline()
            finally:
                watch.cancel()
            if line:
                yield line
    except BaseException:
        process.kill()
        raise


def _last_words(processor: Processor, code: int, said: int, words: IO[str]) -> str:
    words.seek(0)
    last = [line.rstrip() for line in words if line.strip() and "TCG doesn't support" not in line][-TOLD:]
    done = f"after {said - 1} images" if said else "before it was awake"
    return "\n".join([f"{processor.name}: the process ended {done} with exit status {code}", *last])
