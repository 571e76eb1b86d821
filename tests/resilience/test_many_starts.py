"""Eight starts on one folder: one works, seven say at once that it is taken."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from resilience_kit import started
from resilience_studies import QUICK, written

STARTS = 8
BUSY = 75
LIMIT_S = 2.0
COMMAND = Path(sys.executable).with_name("edgewright")


@dataclass
class Start:
    """A command from a cold start.

    Attributes:
        code: None while it runs.
        wall_s, cpu_s: once it has ended.
    """

    pid: int
    begin: float
    code: int | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def look(self) -> None:
        """Note whether it has ended."""
        if self.code is not None:
            return
        pid, status, used = os.wait4(self.pid, os.WNOHANG)
        if pid:
            self.code = os.waitstatus_to_exitcode(status)
            self.wall_s, self.cpu_s = time.monotonic() - self.begin, used.ru_utime + used.ru_stime


@contextmanager
def cold_starts(count: int, study: Path, out: Path, cache: Path) -> Iterator[list[Start]]:
    """That many real commands at once; none is left when the block ends."""
    # Python keeps compiled files, as where the command is installed.
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache), "PYTHONDONTWRITEBYTECODE": ""}
    arguments = [COMMAND, "run", study, "--out", out, "--threads", "1"]
    starts = []
    with (out.parent / "stderr").open("ab") as told:
        for _ in range(count):
            process = subprocess.Popen(arguments, env=environment, stdout=told, stderr=told)
            starts.append(Start(process.pid, time.monotonic()))
            process.returncode = 0  # waited for here, not there
    try:
        yield starts
    finally:
        for start in starts:
            if start.code is None:
                os.kill(start.pid, signal.SIGKILL)
                os.waitpid(start.pid, 0)


def ended(starts: list[Start], count: int, seconds: float = 60.0) -> list[Start]:
    """The first ``count`` to end."""
    end = time.monotonic() + seconds
    while len(found := [start for start in starts if start.code is not None]) < count:
        assert time.monotonic() < end, [start.code for start in starts]
        time.sleep(0.01)
        for start in starts:
            start.look()
    return found


def alone(study: Path, out: Path, cache: Path) -> Start:
    """One refused start."""
    with cold_starts(1, study, out, cache) as starts:
        [start] = ended(starts, 1)
    assert start.code == BUSY
    return start


def limit_s(one: Start) -> float:
    """Two seconds; longer where eight shares of this machine's time alone come near them."""
    shares = STARTS * one.wall_s / min(STARTS, os.cpu_count() or 1)
    return max(LIMIT_S, 1.5 * shares)


def test_eight_starts(tmp_path: Path) -> None:
    study, out, cache = written(tmp_path / "study.yaml", QUICK), tmp_path / "out", tmp_path / "cache"
    with started(study, out) as holder:
        holder.wait_for("[  1/")
        alone(study, out, cache)  # compiles
        one = alone(study, out, cache)
    with cold_starts(STARTS, study, out, cache) as starts:
        refused = ended(starts, STARTS - 1)
        [winner] = [start for start in starts if start.code is None]
        print([f"{start.wall_s:.2f} s ({start.cpu_s:.2f} s of CPU)" for start in refused], f"of {limit_s(one):.2f} s")
        assert [start.code for start in refused] == [BUSY] * (STARTS - 1)
        assert max(start.cpu_s for start in refused) < LIMIT_S / 2
        assert max(start.wall_s for start in refused) < limit_s(one)
        os.kill(winner.pid, signal.SIGKILL)
        ended(starts, STARTS)
    assert winner.code == -signal.SIGKILL
    words = (tmp_path / "stderr").read_text().splitlines()
    assert words.count(f"error: {out} is in use by another run") == STARTS - 1 + 2
    with started(study, out) as following:
        following.wait_for("[  1/")
