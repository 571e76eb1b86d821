"""What is known of image files, so that each is decoded wholly once and not at every run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.data._decode import Examined, examine
from pipeline.data._photographs import in_threads
from pipeline.data._root import cache_root
from pipeline.errors import ResourceError, UsageError
from pipeline.files import write_files
from pipeline.hush import hushed
from pipeline.progress import Progress, silent

RULES = 1  # raised when the same bytes come to be judged otherwise


def examined(
    root: Path, files: Sequence[Path], progress: Progress = silent, anew: bool = False
) -> dict[Path, Examined]:
    """What every file holds: as remembered, or examined now and remembered.

    Args:
        root: the data set's folder; each has an index of its own.
        anew: whether to examine what is known too.
    """
    index = _index_file(root)
    known = {} if anew else _read(index)
    stamps = {file: _stamp(file) for file in files}
    found = {file: known[_name(file)][1] for file in files if known.get(_name(file), (None,))[0] == stamps[file]}
    fresh = [file for file in files if file not in found]
    try:
        with hushed():  # decoders warn of what is examined here anyway
            for done, (file, result) in enumerate(zip(fresh, in_threads(examine, fresh), strict=True), 1):
                found[file] = result
                progress(done, len(fresh), file.name)
    finally:
        if fresh:  # what was examined before Ctrl-C need not be examined again
            _write(index, {_name(file): (stamps[file], result) for file, result in found.items()})
    return found


def _name(file: Path) -> str:
    return str(file.absolute())


def _index_file(root: Path) -> Path:
    name = hashlib.sha256(_name(root).encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return cache_root() / "index" / f"{name}.json"


def _version() -> str:
    """What a judgement depends on besides the bytes."""
    return f"{RULES}, pillow {version('pillow')}"


def _stamp(file: Path) -> list[int]:
    """What changes when a file is written."""
    try:
        status = file.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _read(index: Path) -> dict[str, tuple[list[int], Examined]]:
    """The remembered files; none where the index is missing, damaged or of another version."""
    try:
        data = json.loads(index.read_text(encoding="utf-8"))
        entries = data["files"] if data["version"] == _version() else {}
        return {name: (stamp, _examined(facts)) for name, (stamp, facts) in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _examined(facts: Mapping[str, Any]) -> Examined:
    found = Examined(**{**facts, "notes": tuple(facts["notes"])})
    if not all(isinstance(text, str) for text in (found.sha256, found.problem, *found.notes)):
        raise TypeError("an index holds something else than text")
    return found


def _write(index: Path, files: Mapping[str, tuple[list[int], Examined]]) -> None:
    """Remember what was read; where that cannot be, everything is examined again next time."""
    entries = {name: (stamp, asdict(result)) for name, (stamp, result) in files.items() if result.sha256}
    text = json.dumps({"version": _version(), "files": entries})
    try:
        write_files(index.parent, {index.name: text.encode()})
    except (OSError, ResourceError, UsageError):
        return
