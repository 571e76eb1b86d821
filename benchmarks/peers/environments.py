"""One virtual environment for each file in ``requirements/``, made once and kept in the user's cache.

python -m benchmarks.peers.environments [NAME…]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.environment import Environment

REQUIREMENTS = Path(__file__).parent / "requirements"
SIZE = "1 to 6 GB"


def names() -> list[str]:
    """Every environment that can be made."""
    return sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def described(name: str) -> Environment:
    """The environment of that name; comments in its file count for nothing."""
    lines = map(str.strip, (REQUIREMENTS / f"{name}.txt").read_text().splitlines())
    return Environment(name, tuple(line for line in lines if line and not line.startswith("#")), SIZE)


def environment(name: str) -> Path:
    """The environment's Python; made first where it is not there.

    Raises:
        UnavailableError: pip could not install what it needs; tells pip's last lines.
    """
    found = described(name)
    found.make(lambda text: print(text, flush=True))
    return found.python


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; all unless given")
    for name in parser.parse_args().names or names():
        print(environment(name), flush=True)


if __name__ == "__main__":
    main()
