"""Starts a peer's server in its environment and speaks with it."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from benchmarks.peers.peer import Made
from pipeline.errors import EdgewrightError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.measure.latency import Timer

ROOT = Path(__file__).parents[2]
LIMIT_S = 1800.0
TOLD = 3


class PeerFailed(EdgewrightError):
    """A peer could not do what it was asked, or died.

    Attributes:
        client: which; None where it is not known.
    """

    client: Client | None = None

    @classmethod
    def of(cls, client: Client, cause: str) -> PeerFailed:
        error = cls(cause)
        error.client = client
        return error


class Client:
    """One process of a peer, with at most one file open; used with ``with``.

    Args:
        name: the peer's. python: of its environment. limit_s: a request that takes longer ends the process.
    """

    def __init__(self, name: str, python: Path | str, limit_s: float = LIMIT_S) -> None:
        self.name = name
        self.limit_s = limit_s
        self._stderr = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in close)
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.peers.server", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def ask(self, **request: Any) -> Any:
        """The answer to one request; its first key is the command.

        Raises:
            PeerFailed: the peer could not do it, or it died; names it and tells why.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watch = threading.Timer(self.limit_s, self._process.kill)
        watch.start()
        try:
            self._process.stdin.write(json.dumps(request, default=str) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        if not line:
            raise PeerFailed.of(self, self._last_words(next(iter(request))))
        reply = json.loads(line)
        if "error" in reply:
            raise PeerFailed.of(self, f"{self.name}, {next(iter(request))}: {reply['error']}")
        return reply["ok"]

    def _last_words(self, command: str) -> str:
        code = self._process.wait()
        self._stderr.seek(0)
        last = [line.rstrip() for line in self._stderr if line.strip()][-TOLD:]
        return "\n".join([f"{self.name} died in {command} with exit status {code}", *last])

    def facts(self) -> dict[str, dict[str, str]]:
        """``versions`` of what it runs on, by distribution."""
        facts: dict[str, dict[str, str]] = self.ask(facts=True)
        return facts

    def make(self, order: Path, out: Path, precision: str) -> Made:
        made = self.ask(make=precision, order=order.resolve(), out=out.resolve())
        return Made(Path(made["file"]), made["note"])

    def open(self, file: Path, threads: int, image: Path) -> Timer:
        """Open a file anew; what comes back times calls on that image."""
        self.ask(open=file.resolve(), threads=threads, image=image.resolve())
        return lambda calls: self.ask(time=calls)

    def answers(self, x_NCHW: Path) -> NDArray[np.float32]:
        """Logits of every image in a file, by what was opened last."""
        import numpy as np

        with tempfile.TemporaryDirectory() as folder:
            to = Path(folder) / "logits.npy"
            self.ask(answers=x_NCHW.resolve(), to=to)
            logits_NK: NDArray[np.float32] = np.load(to)
        return logits_NK
