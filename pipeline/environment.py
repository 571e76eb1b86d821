"""Python environments for tools whose packages this one cannot hold, made once and kept in the user's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from pipeline.errors import StageFailed, UnavailableError

ENVIRONMENTS = "EDGEWRIGHT_ENVIRONMENTS"
HOME = Path("~/.cache/edgewright/environments")
STAMP = ".finished"
TOLD = 3


def kept_in() -> Path:
    """The folder of all environments."""
    return Path(os.environ.get(ENVIRONMENTS) or HOME).expanduser()


def step(command: Sequence[str], folder: Path) -> None:
    """One step of making an environment.

    Raises:
        UnavailableError: it failed; tells its last lines.
    """
    done = _ran(command)
    if done.returncode:
        raise UnavailableError("\n".join([f"the environment {folder} cannot be made", *_last(done)]))


@dataclass(frozen=True)
class Environment:
    """Packages that stand together, apart from those that run this program.

    The folder's name carries a hash of the lines and of Python's version: other lines, another environment.

    Attributes:
        name: of the tool. requirements: pip's lines. size: on disk, for people.
    """

    name: str
    requirements: tuple[str, ...]
    size: str

    @property
    def folder(self) -> Path:
        text = "\n".join([str(sys.version_info[:2]), *sorted(self.requirements)])
        return kept_in() / f"{self.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @property
    def versions(self) -> dict[str, str]:
        """Of the packages whose lines name one."""
        return {name: version for name, _, version in (line.partition("==") for line in self.requirements) if version}

    @property
    def python(self) -> Path:
        """Its Python, which is there once it is made."""
        windows = os.name == "nt"
        return self.folder / ("Scripts" if windows else "bin") / ("python.exe" if windows else "python")

    @property
    def made(self) -> bool:
        return (self.folder / STAMP).is_file()

    def make(self, say: Callable[[str], None]) -> None:
        """Make it where it is not there; what was half made is made anew.

        Args:
            say: told what is installed where, before it is.

        Raises:
            UnavailableError: pip could not install what it needs; tells pip's last lines.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.folder}.lock"):
            if self.made:
                return
            packages = ", ".join(self.requirements)
            say(f"{self.name} needs an environment of its own ({packages}): {self.size} into {self.folder}, once")
            shutil.rmtree(self.folder, ignore_errors=True)
            step([sys.executable, "-m", "venv", str(self.folder)], self.folder)
            step([str(self.python), "-m", "pip", "install", "--quiet", *self.requirements], self.folder)
            (self.folder / STAMP).touch()

    def run(self, script: Path, *arguments: str) -> None:
        """Run a script that imports nothing of this program.

        Raises:
            StageFailed: it did not finish; tells its last lines.
        """
        # Isolated: the script's folder, whose files are named like packages, is not searched for them.
        done = _ran([str(self.python), "-I", str(script), *arguments])
        if done.returncode:
            raise StageFailed("\n".join([f"{self.name} failed in {self.folder}", *_last(done)]))


def _ran(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 (programs of ours)
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def _last(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stdout.splitlines() if line.strip()][-TOLD:]
