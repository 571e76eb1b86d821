"""A machine on which only timed calls take time."""

from __future__ import annotations

import gc
from contextlib import nullcontext

import pytest
from fake_clock import Clock

from pipeline.measure import latency


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(latency, "time", made)
    monkeypatch.setattr(latency, "Watch", made.watch)
    monkeypatch.setattr(latency, "measuring_alone", nullcontext)
    monkeypatch.setattr(gc, "collect", lambda: 0)  # takes a third of a second in a large process
    return made
