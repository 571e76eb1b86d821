"""Runs of the ``edgewright`` command that can be killed, starved and watched.

Importing torch and its companions takes seconds, so one server imports everything once and
forks a child for each run. A child is a process of its own: signals to it are real.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.forkserver import ensure_running
from multiprocessing.process import BaseProcess
from pathlib import Path
from unittest import mock

Argument = str | Path
Prepare = Callable[[], None]

HEAVY = (
    "torch torchvision torchao torch.onnx onnxscript onnxruntime sklearn.datasets scipy.stats matplotlib.pyplot "
    "pytest pipeline.cli pipeline.run pipeline.report.html pipeline.report.tables pipeline.bundle.write "
    "pipeline.studies.quickstart torchao.quantization.pt2e.quantize_pt2e torch._dynamo.symbolic_convert"
)
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(HEAVY.split())
# multiprocessing asks after all its children at once; two threads must not.
ONE_AT_A_TIME = threading.Lock()
LIMIT_S = 180.0


def _nothing() -> None:
    pass


def _work(arguments: list[str], said: str, told: str, prepare: Prepare) -> None:
    """In the child: the command, its stdout and stderr in files."""
    for number, path in ((1, said), (2, told)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    prepare()
    sys.argv = ["edgewright", *arguments]
    from pipeline.cli import main

    main()


@dataclass
class Command:
    """A started command.

    Attributes:
        said, told: files that hold its stdout and its stderr.
    """

    process: BaseProcess
    said: Path
    told: Path

    @property
    def stderr(self) -> str:
        return self.told.read_text() if self.told.exists() else ""

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        with ONE_AT_A_TIME:
            return self.process.exitcode

    def send(self, number: int) -> None:
        assert self.process.pid is not None
        with ONE_AT_A_TIME:
            if self.process.exitcode is None:
                os.kill(self.process.pid, number)

    def wait(self, seconds: float = LIMIT_S) -> int:
        """Its exit code, once it ends."""
        until(lambda: self.code is not None, seconds, self)
        code = self.code
        assert code is not None
        return code

    def wait_for(self, text: str, seconds: float = LIMIT_S) -> None:
        """Until it writes ``text`` to stderr."""
        until(lambda: text in self.stderr or self.code is not None, seconds, self)
        assert text in self.stderr, self.stderr


def until(true: Callable[[], bool], seconds: float, command: Command) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"nothing after {seconds} s; so far:\n{command.stderr}"
        time.sleep(0.005)


def start(study: Path, out: Path, prepare: Prepare = _nothing) -> Command:
    """``edgewright run`` in a forked child; ``prepare`` is called in it first."""
    out.parent.mkdir(parents=True, exist_ok=True)
    said, told = (out.with_name(f"{out.name}.{name}") for name in ("stdout", "stderr"))
    told.unlink(missing_ok=True)
    arguments = ["run", str(study), "--out", str(out), "--threads", "1", "--device", "cpu"]
    with ONE_AT_A_TIME, mock.patch.dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE"):
        ensure_running()
        process = FORKS.Process(target=_work, args=(arguments, str(said), str(told), prepare))
        process.start()
    return Command(process, said, told)


@contextmanager
def started(study: Path, out: Path, prepare: Prepare = _nothing) -> Iterator[Command]:
    """A command that is gone when the block ends, whatever happens in it."""
    command = start(study, out, prepare)
    try:
        yield command
    finally:
        command.send(signal.SIGKILL)
        command.wait()


def finish(study: Path, out: Path, prepare: Prepare = _nothing) -> Command:
    """A run that does all its work."""
    with started(study, out, prepare) as command:
        assert command.wait() == 0, command.stderr
    return command


@dataclass(frozen=True)
class AtCall:
    """In the child: a fault at one call of a function of ``os``; the calls before it work.

    Attributes:
        fault: "full" finds the disk full, "kill" ends the process, "count" only reports.
    """

    name: str
    index: int
    fault: str

    def __call__(self) -> None:
        real, calls = getattr(os, self.name), 0

        def function(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if self.fault == "count":
                os.write(2, f"call of {self.name}\n".encode())
            elif calls == self.index + 1:
                _happen(self.fault)
            return real(*args, **kwargs)

        setattr(os, self.name, function)


def _happen(fault: str) -> None:
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise OSError(errno.ENOSPC, "No space left on device")
