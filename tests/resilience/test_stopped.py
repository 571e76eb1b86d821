"""SIGTERM and Ctrl-C while training: what was done is kept, and the end is the same."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest
from resilience_kit import LIMIT_S, Command, finish, started, until
from resilience_studies import QUICK, Finished, changed, done, entries, temporaries, weights, written

from pipeline.errors import MAX_LINES
from pipeline.store import FOLDER
from pipeline.trainers.checkpoint import FILE

LONG = changed(QUICK, "recipes", to={"base": [QUICK["recipes"]["base"][0], {"Train": {"epochs": 12, "batch": 256}}]})
FOLLOWING = "base · MobileNetV3"
WITHIN_S = 5.0


@pytest.fixture(scope="module")
def long(quick: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """An undisturbed run that trains for some seconds."""
    folder = tmp_path_factory.mktemp("long")
    study = written(folder / "study.yaml", LONG)
    finish(study, folder / "out")
    return Finished(study, folder / "out", 0.0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_stopped_while_training(number: int, code: int, long: Finished, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(long.study, out) as command:
        command.wait_for(FOLLOWING)
        time.sleep(0.5)
        begin = time.monotonic()
        command.send(number)
        assert command.wait() == code
        assert time.monotonic() - begin < WITHIN_S
    words = [line for line in command.stderr.splitlines() if not line.startswith("[")]
    assert words[0].startswith("error: ")
    assert 1 <= len(words) <= MAX_LINES
    assert "Traceback" not in command.stderr
    [checkpoint] = (out / FOLDER / "unfinished").rglob("*.*")
    assert checkpoint.name == FILE
    assert len(entries(out)) == 1
    assert temporaries(out) == []
    finish(long.study, out)
    assert "base · Train" in done(out)
    assert weights(out) == weights(long.out)
    assert not checkpoint.exists()
    assert temporaries(out) == []


def test_stopped_between_stages(quick: Finished, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(quick.study, out) as command:
        command.wait_for("base · ExportTorchScript")
        command.send(signal.SIGINT)
        assert command.wait() == 130
    assert "Traceback" not in command.stderr
    finish(quick.study, out)
    assert weights(out) == weights(quick.out)
    assert temporaries(out) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_stopped_while_measuring(number: int, code: int, quick: Finished, tmp_path: Path) -> None:
    """The process in which files are opened ends too: at once, or with the next thing it says."""
    endless = {**QUICK["benchmark"], "sittings": 10_000, "precision": 1e-9, "seconds": 600.0}
    study, out = written(tmp_path / "study.yaml", changed(QUICK, "benchmark", to=endless)), quick.copy(tmp_path / "out")
    before = entries(out).keys()
    with started(study, out) as command:
        command.wait_for("pruned · torchscript on torchscript")
        [aside] = children(command)
        command.send(number)
        assert command.wait() == code
        until(lambda: not alive(aside), LIMIT_S, command)
    assert entries(out).keys() == before
    assert temporaries(out) == []
    finish(quick.study, out)
    assert done(out) == []


def children(command: Command) -> list[psutil.Process]:
    """The processes of a command, once there are some."""
    process = psutil.Process(command.process.pid)
    until(lambda: bool(process.children()), LIMIT_S, command)
    return process.children()


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
