"""Environments of their own: made once, by what they hold, and honest about failing."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import environment
from pipeline.environment import Environment
from pipeline.errors import StageFailed, UnavailableError

PLAIN = Environment("tool", ("one==1.0", "two==2.0"), "a few MB")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_ENVIRONMENTS", str(tmp_path))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What would have been run to make it: nothing is installed."""
    found: list[list[str]] = []
    monkeypatch.setattr(environment, "step", lambda command, folder: found.append(list(command)))
    return found


def test_the_folder_is_named_for_what_is_in_it(tmp_path: Path) -> None:
    assert PLAIN.folder.parent == tmp_path
    assert PLAIN.folder.name.startswith("tool-")
    assert replace(PLAIN, requirements=("two==2.0", "one==1.0")).folder == PLAIN.folder
    assert replace(PLAIN, requirements=("two==2.1", "one==1.0")).folder != PLAIN.folder
    assert PLAIN.versions == {"one": "1.0", "two": "2.0"}


def test_it_is_made_once_and_says_so(steps: list[list[str]]) -> None:
    said: list[str] = []
    PLAIN.folder.mkdir()  # what another run left half made
    (PLAIN.folder / "half").touch()

    def finish(command: list[str], folder: Path) -> None:
        steps.append(list(command))
        folder.mkdir(exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "step", finish)
        for _ in range(2):
            PLAIN.make(said.append)
    assert PLAIN.made
    assert not (PLAIN.folder / "half").exists()
    assert [command[1:3] for command in steps] == [["-m", "venv"], ["-m", "pip"]]
    assert steps[1][-2:] == ["one==1.0", "two==2.0"]
    [sentence] = said
    assert "tool needs an environment of its own (one==1.0, two==2.0): a few MB" in sentence


def test_what_pip_says_is_told_in_six_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    fails = [sys.executable, "-c", "print('\\n'.join(f'line {i}' for i in range(9))); raise SystemExit(1)"]
    ran = environment._ran
    monkeypatch.setattr(environment, "_ran", lambda command: ran(fails))
    with pytest.raises(UnavailableError, match=r"cannot be made\nline 6\nline 7\nline 8") as caught:
        PLAIN.make(lambda text: None)
    assert len(caught.value.lines()) <= 6
    assert not PLAIN.made


def test_a_script_is_run_apart_from_the_files_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are named like packages; one of them would be imported in a package's place."""
    monkeypatch.setattr(Environment, "python", Path(sys.executable))
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong one')")
    script = tmp_path / "work.py"
    script.write_text("import json, sys, pathlib; pathlib.Path(sys.argv[1]).write_text(json.dumps('done'))")
    PLAIN.run(script, str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == '"done"'


def test_a_script_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Environment, "python", Path(sys.executable))
    script = tmp_path / "work.py"
    script.write_text("raise ValueError('no such operator')")
    with pytest.raises(StageFailed, match="no such operator") as caught:
        PLAIN.run(script)
    assert len(caught.value.lines()) <= 6
