"""Debian's Chromium without a screen, for tests that skip where it or Playwright is not installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def launched(*arguments: str) -> Iterator[Any]:
    """The browser, while a fixture lasts."""
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments])
        yield chromium
        chromium.close()
