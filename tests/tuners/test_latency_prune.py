from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from foretold import ForetoldGauge, Told
from tiny import fingerprint, plain_model

from pipeline.aside import Aside
from pipeline.errors import StageFailed, UsageError
from pipeline.measure.size import count_macs
from pipeline.model import Model
from pipeline.stage import Context
from pipeline.tuners import _aim, _timed_layers, latency_prune
from pipeline.tuners._table import axes_of
from pipeline.tuners._timed_layers import Table
from pipeline.tuners.latency_prune import LatencyPrune


@pytest.fixture(scope="module")
def plain(context: Context) -> Model:
    return plain_model(context.data)


def fake_ms(macs: int) -> float:
    """Some time for the call, and some for each product."""
    return 0.1 + macs / 1e7


class Gauge(ForetoldGauge):
    """Time is a function of multiply-accumulates."""

    def ms_of(self, model: Model) -> float:
        return fake_ms(count_macs(model.blueprint, model.spec))


def fake_table(layers: Any, step: int, *_: Any) -> Table:
    """Layers take as long as they have multiply-accumulates: less than the whole network takes."""
    ms: dict[Any, dict[Any, float]] = {}
    for layer in layers:
        pixels = layer.shape.result[0] * layer.shape.result[1]
        ms.setdefault(layer.shape, {}).update(
            {point: pixels * layer.shape.weights(*point) / 1e7 for point in axes_of(layer, step).points()}
        )
    return Table(ms, step)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_prune, "Gauge", Gauge)
    monkeypatch.setattr(latency_prune, "timed_layers", fake_table)


@pytest.mark.parametrize("target", [0.85, 0.6])
def test_lands_near_its_target(target: float, plain: Model, context: Context, quick: None) -> None:
    told, before = Told(), fingerprint(plain)
    pruned = LatencyPrune(target_ratio=target, round_to=2)(plain, told.context(context))
    now, then = (fake_ms(count_macs(model.blueprint, model.spec)) for model in (pruned, plain))
    assert now / then == pytest.approx(target, rel=0.05), told
    assert told.facts["aim"]["share"] == pytest.approx(now / then, abs=1e-3)
    assert told.warnings == []
    assert fingerprint(plain) == before
    assert pruned.logits_NK(context.data.validation.x_NCHW(0, 4)).shape == (4, 10)


def test_milliseconds_are_those_of_the_whole_network(plain: Model, context: Context, quick: None) -> None:
    then = fake_ms(count_macs(plain.blueprint, plain.spec))
    pruned = LatencyPrune(target_ms=0.8 * then, round_to=2)(plain, context)
    assert fake_ms(count_macs(pruned.blueprint, pruned.spec)) == pytest.approx(0.8 * then, rel=0.05)


def test_a_target_that_is_reached_already_removes_nothing(plain: Model, context: Context, quick: None) -> None:
    told = Told()
    assert LatencyPrune(target_ms=1000.0)(plain, told.context(context)) is plain
    assert "1000 ms already: nothing was removed" in told.warnings[0]


def test_a_target_that_no_widths_reach_says_what_can_be_had(plain: Model, context: Context, quick: None) -> None:
    with pytest.raises(StageFailed, match=r"the narrowest network takes 0\.\d+ ms, 0\.\d\d of the present") as caught:
        LatencyPrune(target_ratio=0.01)(plain, context)
    assert len(caught.value.lines()) <= 6
    assert "aim at 0." in caught.value.fix


def test_it_never_ends_slower(plain: Model, context: Context, quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine where fewer channels take longer."""
    monkeypatch.setattr(Gauge, "ms_of", lambda _, model: 2.0 - count_macs(model.blueprint, model.spec) / 1e9)
    told = Told()
    assert LatencyPrune(target_ratio=0.9)(plain, told.context(context)) is plain
    assert told.warnings == ["no narrower network was measured faster: nothing was removed"]


def test_who_lands_far_off_says_why(plain: Model, context: Context, quick: None) -> None:
    told = Told()
    LatencyPrune(target_ratio=0.92, round_to=32)(plain, told.context(context))
    assert "lower round_to" in told.warnings[0]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give one of target_ms and target_ratio"),
        ({"target_ms": 1.0, "target_ratio": 0.5}, "give one of"),
        ({"target_ratio": 1.2}, "less than 1"),
        ({"target_ratio": 0.5, "runtime": "torchscript"}, "does not tell what each operator takes"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatencyPrune(**fields)


def test_an_unknown_runtime_is_named() -> None:
    with pytest.raises(UsageError, match="did you mean 'onnxruntime'"):
        LatencyPrune(target_ratio=0.5, runtime="onnx_runtime")


@pytest.fixture
def shared_aside(kept_aside: Aside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_timed_layers, "Aside", lambda: kept_aside)


def test_on_real_digits_in_the_real_runtime(
    plain: Model, context: Context, shared_aside: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the table to a measured network.

    It takes hundredths of a millisecond, of which one try on a crowded machine tells no more than that it is faster.
    """
    quick = latency_prune.QUICK.model_copy(update={"seconds": 1.0, "rounds": 1, "precision": 0.5})
    monkeypatch.setattr(latency_prune, "QUICK", quick)
    monkeypatch.setattr(_aim, "TRIES", 1)
    told = Told()
    pruned = LatencyPrune(target_ratio=0.8)(plain, told.context(context))
    aim = told.facts["aim"]
    assert 0 < aim["share"] < 1
    assert all(attempt["low"] <= attempt["share"] <= attempt["high"] for attempt in aim["attempts"])
    assert count_macs(pruned.blueprint, pruned.spec) < count_macs(plain.blueprint, plain.spec)
    assert np.isfinite(pruned.logits_NK(context.data.validation.x_NCHW(0, 8))).all()
