"""Two undisturbed runs, to copy from and to compare with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from resilience_kit import finish
from resilience_studies import QUICK, SMALL, Finished, written


def undisturbed(folder: Path, study: dict[str, Any]) -> Finished:
    file, out, begin = written(folder / "study.yaml", study), folder / "out", time.monotonic()
    finish(file, out)
    return Finished(file, out, time.monotonic() - begin)


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A study of a few seconds."""
    return undisturbed(tmp_path_factory.mktemp("quick"), QUICK)


@pytest.fixture(scope="session")
def small(quick: Finished, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One with every kind of file in it. After the first, so that the server stands ready."""
    return undisturbed(tmp_path_factory.mktemp("small"), SMALL)
