"""A process beside this one, for work that may crash: other people's runtimes on other people's files."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

from pipeline.errors import EdgewrightError, StageFailed, UsageError, unforeseen
from pipeline.progress import Progress

T = TypeVar("T")
DYING_S = 60.0  # a large process takes a while to end
IMPORTABLE = "define stages, runtimes and data in a file that can be imported, not in the script that runs"


class Crashed(StageFailed):
    """The process died of what it was asked to do."""


class Aside:
    """A process that does one piece of work after another, and is replaced when one kills it.

    Work is a function of a module and arguments that can be pickled; both ends are this program.
    The process starts with the first piece, and ends with the block or with this process.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Aside:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def do(self, work: Callable[..., T], *arguments: Any, progress: Progress | None = None) -> T:
        """What ``work(*arguments)`` gives there; with ``progress``, it is given one as its last argument.

        Raises:
            Crashed: the process died; says of what.
            UsageError: the work cannot be sent to another process, or not be found there.
            EdgewrightError: whatever the work raised.
        """
        piece = _packed(work, arguments, progress is not None)
        try:
            self._send(piece)
            while (said := self._hear())[0] == "progress":
                if progress is not None:
                    progress(*said[1])
        except BaseException:
            self.close()  # it is in the middle of something nobody waits for
            raise
        kind, value = said
        if kind == "raised":
            raise value
        result: T = value
        return result

    def close(self) -> None:
        """End the process, whatever it is doing."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _send(self, piece: bytes) -> None:
        process = self._process = self._process or _started()
        assert process.stdin is not None
        try:
            pickle.dump(piece, process.stdin)
            process.stdin.flush()
        except BrokenPipeError:
            raise Crashed(_obituary(process)) from None

    def _hear(self) -> tuple[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            said: tuple[str, Any] = pickle.load(self._process.stdout)  # noqa: S301  our own process
        except (EOFError, pickle.UnpicklingError):
            raise Crashed(_obituary(self._process)) from None
        return said


def _obituary(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(DYING_S)
    except subprocess.TimeoutExpired:
        return "the runtime crashed (it closed its connection)"
    cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"the runtime crashed ({cause})"


def _packed(*piece: Any) -> bytes:
    try:
        return pickle.dumps(piece)
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise UsageError(f"another process cannot be sent what it is to run: {error}", IMPORTABLE) from None


def _started() -> subprocess.Popen[bytes]:
    # Whatever can be imported here can be imported there.
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.aside"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )


def main() -> None:
    """Do work from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; who started us decides
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        while (said := _next(answers)) is not None:
            pickle.dump(said, answers)
            answers.flush()
    except BrokenPipeError:
        os._exit(1)  # who asked has gone


def _next(answers: BinaryIO) -> tuple[str, Any] | None:
    """The outcome of the next piece of work; None where there is none left."""
    try:
        piece = pickle.load(sys.stdin.buffer)  # noqa: S301  our own parent
    except (EOFError, pickle.UnpicklingError):
        return None
    try:
        work, arguments, tells = pickle.loads(piece)  # noqa: S301
    except (AttributeError, ImportError) as error:
        return "raised", UsageError(f"another process cannot find what it is to run: {error}", IMPORTABLE)

    def report(done: int, total: int, note: str = "") -> None:
        pickle.dump(("progress", (done, total, note)), answers)
        answers.flush()

    try:
        return "done", work(*arguments, *([report] if tells else []))
    except EdgewrightError as error:
        return "raised", error
    except Exception as error:
        known = unforeseen(error)
        known.add_note(traceback.format_exc())  # for --debug
        return "raised", known


if __name__ == "__main__":
    # Pickled classes belong to the module, not to __main__.
    importlib.import_module("pipeline.aside").main()
