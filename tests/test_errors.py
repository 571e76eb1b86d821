"""The tree of errors: exit codes, and what a person reads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import errors
from pipeline.errors import MAX_LINES, EdgewrightError

CODES = {
    "GateFailed": 1,
    "UsageError": 2,
    "DataError": 2,
    "UnavailableError": 3,
    "CorruptFile": 3,
    "NewerFormat": 3,
    "StageFailed": 4,
    "NotANumber": 4,
    "ParityMiss": 4,
    "Unfit": 4,
    "ResourceError": 5,
    "FolderBusy": 75,
    "Interrupted": 130,
    "Terminated": 143,
}


def tree(root: type[EdgewrightError] = EdgewrightError) -> Iterator[type[EdgewrightError]]:
    for child in root.__subclasses__():
        yield child
        yield from tree(child)


def test_exit_codes() -> None:
    ours = {error.__name__: error.exit_code for error in tree() if error.__module__ == errors.__name__}
    assert ours == CODES


def test_the_drawn_tree_is_the_real_one() -> None:
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        words = line.strip("│├└─ ").split()
        if len(words) > 1 and words[1].isdigit():
            drawn[words[0]] = int(words[1])
    assert drawn == CODES


@pytest.mark.parametrize("error", list(tree()))
def test_each_is_an_edgewright_error_with_cause_and_fix(error: type[EdgewrightError]) -> None:
    raised = error("it broke in x.png", "replace it")
    assert str(raised) == raised.cause == "it broke in x.png"
    assert raised.lines() == ["it broke in x.png", "fix: replace it"]


def test_no_fix_no_fix_line() -> None:
    assert EdgewrightError("only this").lines() == ["only this"]


@given(cause=st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=20), fix=st.text("abc ", max_size=9))
def test_never_more_than_six_lines_and_the_fix_is_last(cause: list[str], fix: str) -> None:
    lines = EdgewrightError("\n".join(cause), fix).lines()
    assert len(lines) <= MAX_LINES == 6
    assert all(line.strip() for line in lines)
    if fix:
        assert lines[-1] == f"fix: {fix}"


@pytest.mark.parametrize(("count", "fix"), [(6, ""), (5, "x"), (7, ""), (6, "x"), (40, "x")])
def test_what_is_left_out_is_counted(count: int, fix: str) -> None:
    lines = EdgewrightError("\n".join(f"line {i}" for i in range(count)), fix).lines()
    shown = [line for line in lines if line.startswith("line ")]
    left_out = [line for line in lines if line.startswith("…")]
    assert shown == [f"line {i}" for i in range(len(shown))]
    assert left_out == ([f"… and {count - len(shown)} more"] if len(shown) < count else [])
