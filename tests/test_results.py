"""Results are versioned data: read back as written, and refused when damaged or newer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import NewerFormat, UsageError
from pipeline.results import RESULTS, SCHEMA_VERSION, read_results

LEAST: dict[str, Any] = {
    "schema_version": SCHEMA_VERSION,
    "study": "tiny",
}


def written(folder: Path, content: str) -> Path:
    (folder / RESULTS).write_text(content)
    return folder


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '"x"', "{}", '{"schema_version": null}'])
def test_what_holds_no_results(tmp_path: Path, content: str) -> None:
    with pytest.raises(UsageError, match=RESULTS) as caught:
        read_results(written(tmp_path, content))
    assert caught.value.fix


def test_a_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=RESULTS):
        read_results(tmp_path)


def test_newer_results_are_told_apart_from_damage(tmp_path: Path) -> None:
    with pytest.raises(NewerFormat, match=str(SCHEMA_VERSION + 1)):
        read_results(written(tmp_path, json.dumps({**LEAST, "schema_version": SCHEMA_VERSION + 1})))


def test_damage_is_named_by_field(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is damaged: .*data") as caught:
        read_results(written(tmp_path, json.dumps(LEAST)))
    assert len(caught.value.lines()) <= 6


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_earlier_results_are_no_longer_read(version: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"schema version {version}, which is no longer read") as caught:
        read_results(written(tmp_path, json.dumps({**LEAST, "schema_version": version})))
    assert "run the study again" in caught.value.fix
