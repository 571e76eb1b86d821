"""Golden answers are asked for as an app developer would: of the bundle's own files, apart from this project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_run import finished

from benchmarks import golden
from pipeline.bundle.from_run import bundle_of
from pipeline.results import read_results


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundle_of(finished().out, "base", tmp_path / "base")


class Browser:
    """Says what a page would; ``text`` is its verdict."""

    def __init__(self, text: str) -> None:
        self.text = text

    def call(self, program: str, *arguments: Any) -> str:
        return "ready" if "getAttribute" in program else self.text


def test_every_recipe_is_asked_once() -> None:
    assert golden.recipes(read_results(finished().out)) == ["base", "int8"]


def test_all_answers_are_equal_in_a_process_of_its_own(bundle: Path) -> None:
    assert golden.share_in_python(bundle) == 100


def test_one_that_is_off_is_told(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = bundle / "golden/expected.json"
    answers = json.loads(expected.read_text("utf-8"))
    answers["image_0"]["logits"] = (np.array(answers["image_0"]["logits"]) + 1).tolist()
    expected.write_text(json.dumps(answers), "utf-8")
    assert golden.share_in_python(bundle) == 0
    assert "image_0" in capsys.readouterr().out


@pytest.mark.parametrize(("verdict", "share"), [("6 of 8 golden answers are equal here.", 75), ("it broke", 0)])
def test_the_pages_verdict_is_read(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: str, share: float
) -> None:
    from pipeline.browser.web_runtime import FILES

    for name in FILES:
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(golden, "Page", lambda browser, address: browser)
    assert golden.share_in_browser(bundle, Browser(verdict), tmp_path) == share  # type: ignore[arg-type]
