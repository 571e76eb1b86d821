"""Finished stages by content key: whole or not there, verified before use.

An entry is a folder ``<root>/<key>/`` with the stage's files and ``entry.json``, which holds
their sha256. It is written under a temporary name, synced, and renamed: the rename is the
commit. Whatever still has a temporary name was never finished and is swept away.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import CorruptFile
from pipeline.files import (
    TEMPORARY,
    full_disk_is_an_error,
    sha256_of,
    sweep,
    sync_folder,
    sync_tree,
    temporary_folder,
    verify_files,
)
from pipeline.spec import key_of

ENTRY = "entry.json"
FOLDER = ".store"


@dataclass(frozen=True)
class Entry:
    """One finished stage on disk.

    Attributes:
        seconds: how long the stage took when it ran.
        facts: the small numbers the stage reported, JSON-ready.
    """

    key: str
    folder: Path
    seconds: float
    facts: Mapping[str, Any]


class Store:
    """Entries below one folder. The caller holds the folder's lock."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> None:
        """Make the folder, and remove what earlier runs left unfinished."""
        with full_disk_is_an_error(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
        sweep(self.root)

    def get(self, key: str) -> Entry | None:
        """The entry, every file of it verified; None if there is none.

        Raises:
            CorruptFile: a file is missing or differs from what was written.
        """
        folder = self.root / key
        if not folder.exists():
            return None
        record = _read_record(folder / ENTRY)
        verify_files(folder, record["sha256"])
        return Entry(key, folder, record["seconds"], record["facts"])

    def put(self, key: str, save: Callable[[Path], None], seconds: float, facts: Mapping[str, Any]) -> Entry:
        """Store what ``save`` writes into the folder it is given, whole or not at all."""
        with full_disk_is_an_error(self.root), temporary_folder(self.root) as folder:
            save(folder)
            record = {"seconds": seconds, "facts": dict(facts), "sha256": hashes_of(folder)}
            (folder / ENTRY).write_text(_sealed(record))
            sync_tree(folder)
            self.discard(key)
            os.replace(folder, self.root / key)
            sync_folder(self.root)
        return Entry(key, self.root / key, seconds, facts)

    def discard(self, key: str) -> None:
        """Forget an entry; a reader never sees it half deleted."""
        folder = self.root / key
        if folder.exists():
            doomed = self.root / f"{TEMPORARY}{uuid.uuid4().hex}"
            os.replace(folder, doomed)
            shutil.rmtree(doomed)

    def checkpoint(self, key: str) -> Path:
        """Where the unfinished work of that key is kept; it need not exist."""
        return self.root / "unfinished" / key

    def forget_checkpoint(self, key: str) -> None:
        shutil.rmtree(self.checkpoint(key), ignore_errors=True)


def _sealed(record: Mapping[str, Any]) -> str:
    """The record with the hash of itself, so that a flipped bit in it is seen too."""
    return json.dumps({**record, "seal": key_of(record)}, indent=1)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        intact = record.pop("seal") == key_of(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CorruptFile(f"{path} is missing or damaged") from None
    if not intact:
        raise CorruptFile(f"{path} is not the file that was written")
    return record


def hashes_of(folder: Path) -> dict[str, str]:
    """sha256 of every file below ``folder``, by its relative name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ENTRY)
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in files}
