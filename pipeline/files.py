"""The one way to write: whole files, synced, under their final names only when complete."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.errors import CorruptFile, FolderBusy, ResourceError, UsageError

LOCK = ".lock"
TEMPORARY = ".tmp-"


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the output folder for one run.

    Raises:
        FolderBusy: another process holds it. The lock dies with its process.
    """
    try:
        with full_disk_is_an_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}", "choose another --out") from None
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FolderBusy(f"{folder} is in use by another run", "wait for it, or choose another --out") from None
    try:
        yield
    finally:
        lock.release()


def verify_files(folder: Path, expected: Mapping[str, str]) -> None:
    """Check every named file against its sha256.

    Raises:
        CorruptFile: names the first file that is missing or differs.
    """
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            raise CorruptFile(f"{path} is missing")
        if sha256_of(path) != digest:
            raise CorruptFile(f"{path} is not the file that was written (its sha256 differs)")


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder next to its destination, removed if the block did not rename it away."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files so that each is whole: all under temporary names first, then renamed.

    A full disk is found before anything is overwritten.
    """
    with full_disk_is_an_error(folder), temporary_folder(folder) as temporary:
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        sync_tree(temporary)
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary / name, folder / name)
        for changed in {folder, *((folder / name).parent for name in files)}:
            sync_folder(changed)


def copy_files(source: Path, target: Path, names: Mapping[str, str]) -> bool:
    """Bring ``target`` to hold the named files of ``source``; False if it already did."""
    stale = {name for name, digest in names.items() if not _same(target / name, digest)}
    if stale:
        write_files(target, {name: (source / name).read_bytes() for name in stale})
    return bool(stale)


def _same(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def sweep(folder: Path) -> None:
    """Remove everything below ``folder`` that still has a temporary name."""
    for path in sorted(folder.rglob(f"{TEMPORARY}*"), key=lambda path: len(path.parts)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            _sync(path, os.O_RDONLY)
        else:
            sync_folder(path)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    if os.name == "posix":
        _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def full_disk_is_an_error(folder: Path) -> Iterator[None]:
    """Turn the operating system's words for a full or read-only disk into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ResourceError(f"no space left while writing to {folder}", "free some space and run again") from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise UsageError(f"{folder} is not a folder", "choose another --out") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise ResourceError(f"cannot write to {folder}: {error.strerror}", "choose another --out") from error
        raise
