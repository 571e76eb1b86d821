"""What tests let a process aside do with the browser; kept apart, so that it need not import what tests import."""

from __future__ import annotations

from pathlib import Path

import psutil

from pipeline.artifact import Artifact
from pipeline.runtimes.web import Web

PROFILE = "--user-data-dir="


def browsers() -> list[psutil.Process]:
    """The processes of Chromium that this one started, the shell first."""
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    shells = [child for child in children if any(word.startswith(PROFILE) for word in child.cmdline())]
    return [process for shell in shells for process in (shell, *shell.children(recursive=True))]


def opened_aside(artifact: Artifact) -> tuple[list[int], Path]:
    """Open a file, and forget to close it: the browser's processes, and its profile."""
    global session
    session = Web().open(artifact, 1)
    found = browsers()
    return [process.pid for process in found], profile_of(found[0])


def profile_of(shell: psutil.Process) -> Path:
    [argument] = [word for word in shell.cmdline() if word.startswith(PROFILE)]
    return Path(argument.partition("=")[2])
