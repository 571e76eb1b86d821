"""``SHA256SUMS``: the names and hashes of a bundle's files, as ``sha256sum -c`` reads them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Set
from pathlib import Path

from pipeline.errors import CorruptFile
from pipeline.files import verify_files

SUMS = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (?!/)(\S.*)")


def sums_of(contents: Mapping[str, bytes]) -> bytes:
    """One line a file: sha256, two spaces, name."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(contents.items()))
    return "".join(lines).encode()


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
    refuse_added(folder, sums.keys() | {SUMS})
    return len(sums)


def refuse_added(folder: Path, known: Set[str]) -> None:
    """Refuse files below ``folder`` that nothing vouches for.

    Raises:
        CorruptFile: names the first one.
    """
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    for name in sorted(found - known):
        raise CorruptFile(f"{folder / name} was not written with the rest", "remove it, or export again")
