"""One virtual environment for each file in ``requirements/``, made once and kept in the user's cache.

    python -m benchmarks.peers.environments [NAME…]

The folder's name carries a hash of the requirement lines: other lines, another environment.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from pipeline.errors import UnavailableError

REQUIREMENTS = Path(__file__).parent / "requirements"
STAMP = ".finished"
TOLD = 3


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgewright" / "peers"


def names() -> list[str]:
    """Every environment that can be made."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def key(text: str, python: tuple[int, int] = sys.version_info[:2]) -> str:
    """Hash of a requirements file's lines, whatever its comments and order, and of Python's version.

    >>> key("a==1\\nb==2\\n") == key("# two\\nb==2\\n\\na==1")
    True
    >>> key("a==1") == key("a==2")
    False
    """
    lines = sorted(line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return hashlib.sha256("\n".join([str(python), *lines]).encode()).hexdigest()[:12]


def environment(name: str, root: Path | None = None) -> Path:
    """The environment's Python; made first where it is not there.

    Raises:
        UnavailableError: pip could not install what it needs; tells pip's last lines.
    """
    requirements = REQUIREMENTS / f"{name}.txt"
    root = root or cache()
    root.mkdir(parents=True, exist_ok=True)
    folder = root / f"{name}-{key(requirements.read_text())}"
    python = folder / "bin" / "python"
    with FileLock(root / f"{folder.name}.lock"):
        if not (folder / STAMP).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            run([sys.executable, "-m", "venv", str(folder)], name)
            run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(requirements)], name)
            (folder / STAMP).touch()
    return python


def run(command: Sequence[str], name: str) -> None:
    """One step of making the environment ``name``.

    Raises:
        UnavailableError: it failed; tells its last lines.
    """
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        last = [line for line in done.stdout.splitlines() if line.strip()][-TOLD:]
        raise UnavailableError("\n".join([f"the environment {name} cannot be made", *last]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; all unless given")
    for name in parser.parse_args().names or names():
        print(environment(name), flush=True)


if __name__ == "__main__":
    main()
