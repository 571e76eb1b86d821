"""What tests let a process aside do with the browser; kept apart, so that it need not import what tests import."""

from __future__ import annotations

from pathlib import Path

import psutil

from pipeline.artifact import Artifact
from pipeline.runtimes.web import Web


def browsers() -> list[psutil.Process]:
    """The processes of Chromium that this one started, the shell first."""
    return psutil.Process().children(recursive=True)


def opened_aside(artifact: Artifact) -> tuple[list[int], Path]:
    """Open a file, and forget to close it: the browser's processes, and its profile."""
    global session
    session = Web().open(artifact, 1)
    found = browsers()
    return [process.pid for process in found], profile_of(found[0])


def profile_of(shell: psutil.Process) -> Path:
    [argument] = [word for word in shell.cmdline() if word.startswith("--user-data-dir=")]
    return Path(argument.partition("=")[2])
