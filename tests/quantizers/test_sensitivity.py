"""The harm of int8 by layer: found where it was planted, and none where nothing is rounded."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted import VALUES, WEIGHTS, healthy, labelled, ruined_values, ruined_weights
from tiny import hand_made
from torch import nn

import pipeline
from pipeline.model import Model
from pipeline.quantizers._mixed import Mixed
from pipeline.quantizers.post_training import PostTraining
from pipeline.quantizers.sensitivity import Sensitivity, noise, sensitivities, worths
from pipeline.stage import Context

STAGE = PostTraining(images=8)
IMAGES = 3


def network(make: Callable[[Context], Model], context: Context) -> Mixed:
    return STAGE.mixed(STAGE.calibrated(make(context), context))


@pytest.fixture(scope="module")
def sound(context: Context) -> Mixed:
    return network(healthy, context)


@pytest.fixture(scope="module")
def ruined(context: Context) -> Mixed:
    return network(ruined_weights, context)


def rows(found: tuple[Sensitivity, ...]) -> dict[str, Sensitivity]:
    return {row.layer: row for row in found}


def test_every_layer_has_a_row_in_order(sound: Mixed, context: Context) -> None:
    told: list[tuple[int, int]] = []
    x_NCHW = context.data.validation.x_NCHW(0, IMAGES)
    found = sensitivities(sound, x_NCHW, lambda done, total, note="": told.append((done, total)))
    assert tuple(row.layer for row in found) == sound.layers
    assert told[-1][0] == told[-1][1] == IMAGES * len(sound.layers)
    assert len(told) == 2 * IMAGES * len(sound.layers)
    [(int8_db,), (exact_db,)] = (noise(sound, x_NCHW, (), [floats]).db() for floats in ((), sound.layers))
    assert exact_db == 150
    assert all(row.alone_db > int8_db - 3 for row in found)  # one layer's noise is not above that of all
    assert all(row.spared_db > int8_db - 3 for row in found)
    assert int8_db > 10


def test_the_ruined_layer_stands_out(ruined: Mixed, context: Context) -> None:
    found = rows(sensitivities(ruined, context.data.validation.x_NCHW(0, IMAGES)))
    others = [row for name, row in found.items() if name != WEIGHTS]
    assert found[WEIGHTS].alone_db < min(row.alone_db for row in others) - 10
    assert found[WEIGHTS].spared_db > max(row.spared_db for row in others) + 10


def test_a_ruined_tensor_is_spared_by_the_layers_around_it_together(context: Context) -> None:
    ruined = network(ruined_values, context)
    one, other, both = noise(
        ruined, context.data.validation.x_NCHW(0, IMAGES), (), [VALUES[:1], VALUES[1:], VALUES]
    ).db()
    assert max(one, other) < 5
    assert both > 10


def test_noise_does_not_know_where_it_began(sound: Mixed, context: Context) -> None:
    x_NCHW, choices = context.data.validation.x_NCHW(0, 2), [(), ("conv2d",), sound.layers[2:5]]
    assert noise(sound, x_NCHW, (), choices) == noise(sound, x_NCHW, ("linear", "add"), choices)


def test_worth_is_counted_on_images(ruined: Mixed, context: Context) -> None:
    answered = labelled(ruined_weights(context), context)
    validation = answered.data.validation.take(np.arange(40))
    nothing, mended, all_ = worths(ruined, validation, [(), (WEIGHTS,), ruined.layers])
    assert nothing.gained.difference.value == 0
    assert all_.agreement == 1
    assert mended.layers == (WEIGHTS,)
    assert mended.agreement > 0.85 > nothing.agreement + 0.1
    gained = mended.gained
    assert gained.difference.value == (gained.only_variant - gained.only_reference) / len(validation)
    assert gained.difference.low > 0
    assert gained.p_value < 0.01
    # The labels are the float network's answers: what agrees is right.
    assert gained.difference.value == pytest.approx(mended.agreement - nothing.agreement)


class Single(nn.Module):
    """Logits alone."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(16 * 16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.flatten(1))


def test_a_network_of_one_layer(context: Context) -> None:
    model = replace(hand_made(Single, edge=16, channels=1), spec=context.data.spec, classes=context.data.classes)
    [row] = sensitivities(STAGE.mixed(STAGE.calibrated(model, context)), context.data.validation.x_NCHW(0, 2))
    assert row.spared_db == 150
    assert row.alone_db < 100


def test_the_example_of_the_how_to_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(pipeline.__file__).parent.parent / "docs" / "how-to.md").read_text(encoding="utf-8")
    [text] = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if block.startswith("# layers.py")]
    exec(compile(text, "layers.py", "exec"), {})
    *rows, last = capsys.readouterr().out.splitlines()
    assert len(rows) == 4
    assert all("dB" in row for row in rows)
    assert "of top-1" in last
