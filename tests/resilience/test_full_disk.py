"""A disk that fills up: exit code 5, what was delivered before stays, and nothing is littered."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from resilience_kit import AtCall, Command, finish, started
from resilience_studies import (
    QUICK,
    Finished,
    artifact_bytes,
    changed,
    delivered,
    entries,
    temporaries,
    weights,
    written,
)

from pipeline.bundle.verify import verify_folder
from pipeline.store import FOLDER

FULL = 5


@pytest.fixture(scope="module")
def other(quick: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run that shares no delivered file with the quick study's."""
    folder = tmp_path_factory.mktemp("other")
    study = written(folder / "study.yaml", changed(QUICK, "seed", to=1))
    finish(study, folder / "out")
    return Finished(study, folder / "out", 0.0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("mounting is not permitted here; injected faults show the same")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def leave(disk: Path, free: int) -> None:
    """Let the disk have that many bytes left."""
    used = shutil.disk_usage(disk).used
    subprocess.run(["mount", "-o", f"remount,size={used + free}", disk], check=True)


def contents(out: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in delivered(out).items()}


def found_full(command: Command, out: Path) -> None:
    """The command said that the disk is full, where, and what to do."""
    assert command.wait() == FULL, command.stderr
    said, fix = (line for line in command.stderr.splitlines() if not line.startswith("["))
    assert str(out) in said
    assert "fix: free some space" in fix


def mended(study: Finished, out: Path) -> None:
    """The next run does what is left."""
    finish(study.study, out)
    assert temporaries(out) == []
    assert weights(study.out).items() <= weights(out).items()
    assert artifact_bytes(out).keys() == artifact_bytes(study.out).keys()
    verify_folder(out)


def test_full_while_working(quick: Finished, other: Finished, disk: Path) -> None:
    out = quick.copy(disk / "out")
    leave(disk, 1_000_000)  # for some of the stages
    with started(other.study, out) as command:
        found_full(command, out)
    assert contents(out) == contents(quick.out)
    entries(out)
    leave(disk, 2**25)
    mended(other, out)


def undelivered(quick: Finished, other: Finished, out: Path, missing: bool) -> Path:
    """The quick study's delivery, over the other's store: all but the delivering is done."""
    quick.copy(out)
    shutil.copytree(other.out / FOLDER, out / FOLDER, dirs_exist_ok=True)
    if missing:  # and the latency
        shutil.rmtree(entries(out)[latency_key(other)].folder)
    return out


def latency_key(run: Finished) -> str:
    [key] = [key for key, entry in entries(run.out).items() if "sittings" in entry.facts]
    return key


def test_full_while_delivering(quick: Finished, other: Finished, disk: Path) -> None:
    out = undelivered(quick, other, disk / "out", missing=False)
    leave(disk, 16_384)
    with started(other.study, out) as command:
        found_full(command, out)
    assert contents(out) == contents(quick.out)
    leave(disk, 2**25)
    mended(other, out)


@pytest.fixture(scope="module", params=[("fsync", "full"), ("replace", "kill")], ids="-".join)
def fault(
    request: pytest.FixtureRequest, quick: Finished, other: Finished, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, int, str]:
    """A function of the operating system, how often storing a stage and delivering call it, and what happens there."""
    name, kind = request.param
    out = undelivered(quick, other, tmp_path_factory.mktemp("count") / "out", missing=True)
    command = finish(other.study, out, AtCall(name, 0, "count"))
    return name, command.stderr.count(f"call of {name}\n"), kind


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_a_fault_at_any_write(
    share: float, fault: tuple[str, int, str], quick: Finished, other: Finished, tmp_path: Path
) -> None:
    name, count, kind = fault
    out = undelivered(quick, other, tmp_path / "out", missing=True)
    with started(other.study, out, AtCall(name, round(share * (count - 1)), kind)) as command:
        if kind == "full":
            found_full(command, out)
            assert temporaries(out) == []
        assert command.wait() == (FULL if kind == "full" else -signal.SIGKILL)
    entries(out)
    old, new = artifact_bytes(quick.out), artifact_bytes(other.out)
    for file, content in artifact_bytes(out).items():
        assert content in (old[file], new[file])
    mended(other, out)
