"""``SHA256SUMS``: the names and hashes of delivered files, as ``sha256sum -c`` reads them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Set
from pathlib import Path

from pipeline.errors import CorruptFile
from pipeline.files import LOCK, verify_files
from pipeline.store import FOLDER

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (?!/)(\S.*)")


# What a run keeps for itself inside the folder that it delivers into.
PRIVATE = frozenset({LOCK, FOLDER})


def sums_of(contents: Mapping[str, bytes]) -> bytes:
    """The text of ``SHA256SUMS`` for files in memory."""
    return sums_text({name: hashlib.sha256(content).hexdigest() for name, content in contents.items()})


def sums_text(hashes: Mapping[str, str]) -> bytes:
    """One line a file: sha256, two spaces, name."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items())).encode()


def delivered(folder: Path) -> set[str]:
    """Every file below a folder but the sums themselves and what a run keeps there."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return {path.as_posix() for path in files if path.parts[0] not in PRIVATE} - {SUMS}


def read_sums(path: Path) -> dict[str, str]:
    """sha256 by file name.

    Raises:
        CorruptFile: the file cannot be read as checksums, or names a file outside its folder.
    """
    try:
        # Not splitlines(): to it a damaged line end can still be a line end.
        lines = path.read_bytes().decode().removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError):
        raise CorruptFile(f"{path} cannot be read") from None
    matches = [LINE.fullmatch(line) for line in lines]
    sums = {match[2]: match[1] for match in matches if match and ".." not in Path(match[2]).parts}
    if not sums or len(sums) < len(lines):
        raise CorruptFile(f"{path} is damaged: not every line is a sha256 and a file name")
    return sums


def listed(folder: Path) -> set[str]:
    """Files that an older bundle in ``folder`` vouches for; none where there is no sound one."""
    try:
        return set(read_sums(folder / SUMS))
    except CorruptFile:
        return set()


def verify_bundle(folder: Path) -> int:
    """Check that a bundle holds exactly the files that were written; returns how many.

    Raises:
        CorruptFile: names the first file that is changed, missing or added.
    """
    sums = read_sums(folder / SUMS)
    verify_files(folder, sums)
    refuse_added(folder, sums.keys())
    return len(sums)


def refuse_added(folder: Path, known: Set[str]) -> None:
    """Refuse files below ``folder`` that nothing vouches for.

    Raises:
        CorruptFile: names the first one.
    """
    for name in sorted(delivered(folder) - known):
        raise CorruptFile(f"{folder / name} was not written with the rest", "remove it, or export again")
