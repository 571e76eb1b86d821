"""A process aside: gives what the work gives, dies alone, and leaves nothing running."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aside_kit
import psutil
import pytest
from processes import gone

from pipeline.aside import Aside, Crashed
from pipeline.errors import (
    DataError,
    EdgewrightError,
    Interrupted,
    NotANumber,
    ParityMiss,
    ResourceError,
    StageFailed,
    UnavailableError,
    UsageError,
)

LIMIT_S = 60.0


@pytest.fixture
def aside() -> Iterator[Aside]:
    """One of this test's own."""
    with Aside() as own:
        yield own


def test_one_process_gives_one_result_after_another(aside: Aside) -> None:
    assert aside.do(aside_kit.add, 2, 3) == 5
    assert aside.do(aside_kit.who) == aside.do(aside_kit.who) != os.getpid()
    assert [aside.do(aside_kit.calls_so_far) for _ in range(3)] == [1, 2, 3]
    assert aside_kit.CALLS == []
    assert aside.do(aside_kit.length, bytes(5_000_000)) == 5_000_000


def test_nothing_is_started_before_there_is_work() -> None:
    with Aside() as aside:
        assert aside._process is None


def test_the_process_ends_with_the_block() -> None:
    with Aside() as aside:
        pid = aside.do(aside_kit.who)
    assert gone(pid, LIMIT_S)


@pytest.mark.parametrize("kind", [UsageError, DataError, UnavailableError, StageFailed, NotANumber, ParityMiss])
def test_errors_of_the_tree_come_through(kind: type[EdgewrightError], aside: Aside) -> None:
    with pytest.raises(kind) as caught:
        aside.do(aside_kit.raise_ours, kind("what was wrong", "what to do"))
    assert type(caught.value) is kind
    assert (caught.value.cause, caught.value.fix) == ("what was wrong", "what to do")
    assert caught.value.exit_code == kind.exit_code
    assert aside.do(aside_kit.calls_so_far) == 1  # by the same process


def test_an_unforeseen_error_has_a_name_and_keeps_its_traceback(aside: Aside) -> None:
    with pytest.raises(StageFailed) as caught:
        aside.do(aside_kit.raise_theirs, ValueError("bad\nand more"))
    assert caught.value.cause == "ValueError: bad"
    assert "in raise_theirs" in caught.value.__notes__[0]
    with pytest.raises(ResourceError, match="out of memory"):
        aside.do(aside_kit.raise_theirs, MemoryError())


DEATHS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], str]] = {
    "a signal": (aside_kit.die_by, (signal.SIGSEGV,), "SIGSEGV"),
    "a null pointer": (aside_kit.read_nothing, (), "SIGSEGV"),
    "an abort": (aside_kit.die_by, (signal.SIGABRT,), "SIGABRT"),
    "no memory": (aside_kit.die_by, (signal.SIGKILL,), "SIGKILL"),
    "an exit": (aside_kit.leave, (3,), "exit code 3"),
    "a polite exit": (aside_kit.leave_politely, (5,), "exit code 5"),
    "an answer that cannot be sent": (aside_kit.unpicklable, (), "exit code 1"),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_crash_is_named_and_the_next_work_gets_a_fresh_process(death: str, aside: Aside) -> None:
    work, arguments, cause = DEATHS[death]
    assert aside.do(aside_kit.calls_so_far) == 1
    with pytest.raises(Crashed, match=cause) as caught:
        aside.do(work, *arguments)
    assert isinstance(caught.value, StageFailed)
    assert caught.value.exit_code == 4
    assert aside.do(aside_kit.calls_so_far) == 1


def test_a_process_that_died_while_it_waited(aside: Aside) -> None:
    pid = aside.do(aside_kit.who)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid, LIMIT_S)
    with pytest.raises(Crashed, match="SIGKILL"):
        aside.do(aside_kit.length, bytes(5_000_000))
    assert aside.do(aside_kit.add, 1, 1) == 2


def test_progress_arrives_in_order(aside: Aside) -> None:
    told: list[tuple[int, int, str]] = []
    assert aside.do(aside_kit.count, 3, progress=lambda done, total, note="": told.append((done, total, note))) == 3
    assert told == [(1, 3, "note 0"), (2, 3, "note 1"), (3, 3, "note 2")]


def test_quiet_progress_is_progress(aside: Aside) -> None:
    """``silent`` is what a quiet console gives; the work takes it like any other."""
    from pipeline.progress import silent

    assert aside.do(aside_kit.count, 3, progress=silent) == 3


def test_what_the_work_prints_goes_to_stderr(aside: Aside, capfd: pytest.CaptureFixture[str]) -> None:
    assert [aside.do(aside_kit.chatter, f"word{index}") for index in range(3)] == ["word0", "word1", "word2"]
    aside.close()
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("word1") >= 3


@pytest.mark.parametrize("error", [Interrupted("Ctrl-C"), KeyboardInterrupt(), BrokenPipeError(), EOFError()])
def test_an_error_of_whoever_listens_ends_the_process(error: BaseException, aside: Aside) -> None:
    pid = aside.do(aside_kit.who)

    def listen(done: int, total: int, note: str = "") -> None:
        raise error

    with pytest.raises(type(error)):
        aside.do(aside_kit.count_for_long, progress=listen)
    assert gone(pid, LIMIT_S)
    assert pid not in [child.pid for child in psutil.Process().children()]
    assert aside.do(aside_kit.add, 1, 1) == 2


@pytest.mark.parametrize("parent", ["parent", "parent_of_a_teller"])
def test_it_ends_when_its_parent_is_killed(parent: str, tmp_path: Path) -> None:
    code = f"import aside_kit; aside_kit.{parent}({str(tmp_path / 'pid')!r})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE)
    end = time.monotonic() + LIMIT_S
    while not (tmp_path / "pid").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    process.kill()
    _, said = process.communicate()
    assert gone(int((tmp_path / "pid").read_text()), LIMIT_S)
    assert b"Traceback" not in said


def test_work_of_the_script_that_runs_cannot_be_found_there(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(
        "from pipeline.aside import Aside\n"
        "from pipeline.errors import UsageError\n"
        "def own(content): return 1\n"
        "with Aside() as aside:\n"
        "    try:\n"
        "        aside.do(own, bytes(1_000_000))\n"
        "    except UsageError as error:\n"
        "        print(error.cause, '|', error.fix)\n"
        "    print(aside.do(len, 'four'))\n"
    )
    ran = subprocess.run([sys.executable, tmp_path / "script.py"], capture_output=True, text=True, check=True)
    told, four = ran.stdout.splitlines()
    assert "cannot find what it is to run" in told
    assert "in a file that can be imported" in told
    assert four == "4"


def test_work_that_cannot_be_sent(aside: Aside) -> None:
    pid = aside.do(aside_kit.who)
    with pytest.raises(UsageError, match="cannot be sent") as caught:
        aside.do(lambda: 1)
    assert "can be imported" in caught.value.fix
    with pytest.raises(UsageError, match="cannot be sent"):
        aside.do(aside_kit.length, open(__file__))  # noqa: SIM115
    assert aside.do(aside_kit.who) == pid


def test_every_error_of_the_tree_can_be_sent() -> None:
    kinds = [EdgewrightError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        again = pickle.loads(pickle.dumps(kind("cause", "fix")))
        assert (type(again), again.cause, again.fix) == (kind, "cause", "fix")
    assert Crashed in kinds
