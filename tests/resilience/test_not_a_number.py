"""A loss that is no number ends the run at that step, and leaves nothing to go on from."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from resilience_kit import started
from resilience_studies import QUICK, changed, entries, temporaries, written

from pipeline.store import FOLDER

DIVERGING = changed(QUICK, "recipes", "base", 1, "Train", to={"epochs": 10, "batch": 256, "lr": 1e9})


def every_step() -> None:
    """In the child: say every loss, and save a checkpoint after every step."""
    from pipeline.trainers import watch

    real = watch.Watch.before_update

    def before_update(self: watch.Watch, step: int, value: torch.Tensor) -> None:
        print(f"loss {float(value.detach())}", flush=True)
        real(self, step, value)

    watch.Watch.before_update, watch.CHECKPOINT_EVERY_S = before_update, -1.0


@pytest.mark.usefixtures("quick")
def test_a_loss_that_is_no_number(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with started(written(tmp_path / "study.yaml", DIVERGING), out, every_step) as command:
        assert command.wait() == 4, command.stderr
    losses = [float(text) for text in re.findall(r"^loss (\S+)$", command.said.read_text(), re.MULTILINE)]
    assert [math.isfinite(loss) for loss in losses] == [True] * (len(losses) - 1) + [False]
    assert re.search(rf"^error: base · Train: .* at step {len(losses)} of 40$", command.stderr, re.MULTILINE)
    assert "lower lr" in command.stderr
    assert "Traceback" not in command.stderr
    assert [entry.facts.keys() for entry in entries(out).values()] == [{"validation_top1"}]
    assert [path for path in (out / FOLDER / "unfinished").rglob("*") if path.is_file()] == []
    assert temporaries(out) == []
