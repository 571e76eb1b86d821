"""Other libraries say nothing inside the block, and change nothing for what comes after it."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest

from pipeline.hush import hushed, unheard


def talkative() -> None:
    """What a library does that configures logging on import."""
    logging.basicConfig(format="from the library: %(message)s", stream=sys.stdout)
    log = logging.getLogger("talkative")
    log.setLevel(logging.DEBUG)
    log.info("converted a file")
    print("and printed so")
    warnings.warn("and is deprecated", UserWarning, stacklevel=1)


def test_nothing_is_heard_of_a_library(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    with hushed():
        talkative()
    assert capfd.readouterr() == ("", "")
    assert logging.root.handlers == []


def test_what_is_written_below_python_is_unheard_too(capfd: pytest.CaptureFixture[str]) -> None:
    with unheard():
        os.write(2, b"from a native library\n")
        print("and through Python", file=sys.stderr)
    print("heard again", file=sys.stderr)
    assert capfd.readouterr() == ("", "heard again\n")


def test_levels_and_warnings_are_as_before_even_after_an_error() -> None:
    before = logging.root.level, list(logging.root.handlers)
    with pytest.raises(KeyError), hushed():
        raise KeyError
    assert (logging.root.level, list(logging.root.handlers)) == before
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)
