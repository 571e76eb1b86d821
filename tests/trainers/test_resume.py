"""Killed and resumed, training ends with the very weights of an undisturbed run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from faults import flip_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import fingerprint

from pipeline.errors import CorruptFile, Interrupted, Terminated
from pipeline.model import Model
from pipeline.progress import Progress
from pipeline.quantizers.aware import QuantizationAware
from pipeline.signals import StopSignal
from pipeline.stage import Context, Stage
from pipeline.trainers.checkpoint import FILE
from pipeline.trainers.distillation import Distill
from pipeline.trainers.supervised import Train

STEPS = 6  # two epochs of 96 images, 32 a step
STAGES = {
    "sgd": Train(epochs=2, batch=32, augment="affine"),
    "adamw": Train(epochs=2, batch=32, optimizer="adamw", lr=0.003, augment="flip"),
    "distill": Distill(epochs=2, batch=32, teacher="teacher"),
    "hinted": Distill(epochs=2, batch=32, teacher="teacher", hint=1.0, ema=0.9),
    "blocks": Distill(epochs=2, batch=32, teacher="teacher", hint=0.1, hint_at="blocks"),
    "aware": QuantizationAware(epochs=2, batch=32),
    "aware-average": QuantizationAware(epochs=2, batch=32, teacher="teacher", ema=0.9),
    "average": Train(epochs=2, batch=32, ema=0.9, clip=1.0, schedule="cosine", augment=["mixup", "cutout"]),
}


def interrupted_at(step: int, number: int = signal.SIGTERM) -> Progress:
    """Progress that sends this process a signal after a step."""

    def report(done: int, total: int, note: str = "") -> None:
        assert total == STEPS
        if done == step:
            os.kill(os.getpid(), number)

    return report


def stopped(stage: Stage, model: Model, context: Context, step: int) -> None:
    stop = StopSignal()
    with stop.installed(), pytest.raises(Terminated):
        stage(model, replace(context, stop=stop, progress=interrupted_at(step)))


@pytest.fixture(scope="session")
def taught(context: Context, trained: Model) -> Context:
    return replace(context, teacher={"teacher": trained}.__getitem__)


@pytest.fixture(scope="session")
def undisturbed(taught: Context, untrained: Model) -> Callable[[str], str]:
    return cache(lambda name: fingerprint(STAGES[name](untrained, taught)))


INTERRUPTIONS = [
    ("sgd", 1),
    ("sgd", 3),
    ("sgd", 6),
    ("adamw", 2),
    ("adamw", 5),
    ("distill", 4),
    ("hinted", 3),
    ("blocks", 3),
    ("aware", 2),
    ("aware-average", 4),
    ("average", 4),
]


@pytest.mark.parametrize(("name", "step"), INTERRUPTIONS)
def test_resumed_is_undisturbed(
    name: str, step: int, untrained: Model, taught: Context, undisturbed: Callable[[str], str], tmp_path: Path
) -> None:
    context = replace(taught, checkpoint=tmp_path)
    before = fingerprint(untrained)
    stopped(STAGES[name], untrained, context, step)
    steps = []
    resumed = STAGES[name](untrained, replace(context, progress=lambda done, *_: steps.append(done)))
    assert steps == list(range(step + 1, STEPS + 1))
    assert fingerprint(resumed) == undisturbed(name)
    assert fingerprint(untrained) == before


def test_interrupted_twice(
    untrained: Model, taught: Context, undisturbed: Callable[[str], str], tmp_path: Path
) -> None:
    context = replace(taught, checkpoint=tmp_path)
    stopped(STAGES["sgd"], untrained, context, 2)
    stopped(STAGES["sgd"], untrained, context, 5)
    assert fingerprint(STAGES["sgd"](untrained, context)) == undisturbed("sgd")


def test_without_a_checkpoint_folder_it_still_stops(untrained: Model, context: Context) -> None:
    stop = StopSignal()
    interrupted = replace(context, stop=stop, progress=interrupted_at(1, signal.SIGINT))
    with stop.installed(), pytest.raises(Interrupted):
        STAGES["sgd"](untrained, interrupted)


@settings(max_examples=10)
@given(position=st.integers(0, 10**7))
def test_a_flipped_bit_in_the_checkpoint_is_found(
    position: int, untrained: Model, taught: Context, tmp_path_factory: pytest.TempPathFactory
) -> None:
    context = replace(taught, checkpoint=tmp_path_factory.mktemp("unfinished"))
    stopped(STAGES["sgd"], untrained, context, 1)
    assert context.checkpoint is not None
    flip_bit(context.checkpoint / FILE, position)
    with pytest.raises(CorruptFile, match=FILE):
        STAGES["sgd"](untrained, context)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 1000])
def test_a_cut_checkpoint_is_found(size: int, untrained: Model, taught: Context, tmp_path: Path) -> None:
    stopped(STAGES["sgd"], untrained, replace(taught, checkpoint=tmp_path), 1)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:size])
    with pytest.raises(CorruptFile, match=FILE):
        STAGES["sgd"](untrained, replace(taught, checkpoint=tmp_path))
