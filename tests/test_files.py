"""The one way to write: whole files or none, one run a folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
from faults import contents, failing_at, flip_bit

from pipeline.errors import CorruptFile, FolderBusy, ResourceError
from pipeline.files import copy_files, folder_lock, full_disk_is_an_error, sha256_of, sweep, verify_files, write_files

OLD = {"a.bin": b"old a", "b.bin": b"old b", "deep/c.bin": b"old c"}
NEW = {"a.bin": b"new a, longer", "b.bin": b"new b, longer", "deep/c.bin": b"new c, longer"}


def test_writes_and_overwrites(tmp_path: Path) -> None:
    write_files(tmp_path / "out", OLD)
    assert contents(tmp_path / "out") == OLD
    write_files(tmp_path / "out", NEW)
    assert contents(tmp_path / "out") == NEW


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    write_files(tmp_path, OLD)
    assert contents(tmp_path) == {**OLD, "mine.txt": b"kept"}


@pytest.mark.parametrize("index", range(5))
def test_a_disk_full_at_any_sync_keeps_what_was_there(tmp_path: Path, index: int) -> None:
    write_files(tmp_path, OLD)
    with failing_at("fsync", index), pytest.raises(ResourceError) as caught:
        write_files(tmp_path, NEW)
    assert caught.value.exit_code == 5
    assert contents(tmp_path) == OLD
    assert _leftovers(tmp_path) == []


@pytest.mark.parametrize("index", range(3))
def test_a_disk_full_at_any_rename_leaves_whole_files(tmp_path: Path, index: int) -> None:
    write_files(tmp_path, OLD)
    with failing_at("replace", index), pytest.raises(ResourceError):
        write_files(tmp_path, NEW)
    found = contents(tmp_path)
    assert all(found[name] in (OLD[name], NEW[name]) for name in OLD)
    assert [name for name in OLD if found[name] == NEW[name]] == list(OLD)[:index]
    assert _leftovers(tmp_path) == []


def test_every_file_is_synced_before_the_first_is_renamed(tmp_path: Path) -> None:
    with failing_at("fsync", 10**6) as fsync, failing_at("replace", 0), pytest.raises(ResourceError):
        write_files(tmp_path, NEW)
    assert fsync.call_count >= len(NEW)
    assert contents(tmp_path) == {}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux what a descriptor is")
def test_every_folder_that_changed_is_synced(tmp_path: Path) -> None:
    synced = set()
    real = os.fsync

    def watched(descriptor: int) -> None:
        synced.add(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        real(descriptor)

    with mock.patch.object(os, "fsync", watched):
        write_files(tmp_path, NEW)
    assert {tmp_path, tmp_path / "deep"} <= synced


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES])
def test_words_for_a_disk_that_does_not_take_it(tmp_path: Path, code: int) -> None:
    with pytest.raises(ResourceError, match=str(tmp_path)) as caught, full_disk_is_an_error(tmp_path):
        raise OSError(code, os.strerror(code))
    assert caught.value.fix


def test_other_operating_system_errors_are_not_renamed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), full_disk_is_an_error(tmp_path):
        (tmp_path / "none").read_bytes()


def test_verify_names_the_file(tmp_path: Path) -> None:
    write_files(tmp_path, OLD)
    expected = {name: sha256_of(tmp_path / name) for name in OLD}
    verify_files(tmp_path, expected)
    flip_bit(tmp_path / "b.bin", 11)
    with pytest.raises(CorruptFile, match=r"b\.bin"):
        verify_files(tmp_path, expected)
    (tmp_path / "b.bin").unlink()
    with pytest.raises(CorruptFile, match=r"b\.bin is missing"):
        verify_files(tmp_path, expected)


def test_copy_brings_what_is_missing_and_repairs_what_is_damaged(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    write_files(source, OLD)
    names = {name: sha256_of(source / name) for name in OLD}
    assert copy_files(source, target, names)
    assert contents(target) == OLD
    assert not copy_files(source, target, names)
    flip_bit(target / "deep" / "c.bin", 3)
    untouched = (target / "a.bin").stat().st_ino
    assert copy_files(source, target, names)
    assert contents(target) == OLD
    assert (target / "a.bin").stat().st_ino == untouched


def test_sweep_removes_temporaries_only(tmp_path: Path) -> None:
    kept = {"a.bin": b"1", "deep/.hidden": b"2", "deep/file.tmp-x": b"3"}
    write_files(tmp_path, kept)
    write_files(tmp_path, {".tmp-1/x": b"4", "deep/.tmp-2/.tmp-3/y": b"5", "deep/.tmp-4": b"6"})
    sweep(tmp_path)
    assert contents(tmp_path) == kept
    assert _leftovers(tmp_path) == []


def test_one_folder_is_held_once(tmp_path: Path) -> None:
    with folder_lock(tmp_path), pytest.raises(FolderBusy) as caught, folder_lock(tmp_path):
        pass
    assert caught.value.exit_code == 75
    with folder_lock(tmp_path):
        pass


HOLDER = """
import sys, time
from pathlib import Path
from pipeline.files import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(FolderBusy), folder_lock(tmp_path):
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
            holder.wait()
    with folder_lock(tmp_path):
        pass


def _leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".tmp-*"))
