"""The figures of the int8 comparison follow from its record."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers import quantization
from benchmarks.peers.quantization import PROMISES, figures_of, without_accuracy
from benchmarks.peers.record import Network, Row
from pipeline.results import Difference, Interval, Latency


def latency(ratio: float) -> Latency:
    one = Interval(value=ratio, low=ratio - 0.1, high=ratio + 0.1)
    fields = dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "mean_ms", "ratio"), one)
    return Latency(verdict="faster", sittings_ms=(1.0,), calls=1, openings=1, warm_up_calls=1, **fields)


def network(name: str, ratio: float, lost: float) -> Network:
    drop = Difference(
        difference=Interval(value=-lost, low=-lost - 0.01, high=-lost + 0.01),
        p_value=0.5,
        only_reference=2,
        only_variant=1,
    )
    sides = {"float": (1.0, 4000, None), "int8": (ratio, 1000, drop)}
    rows = tuple(
        Row(peer="ours", title="ours", precision=side, bytes=size, latency=latency(speed), versus_ours=versus)
        for side, (speed, size, versus) in sides.items()
    )
    return Network(name=name, images=100, rows=rows)


@pytest.mark.parametrize(("ratio", "lost", "kept"), [(2.5, 0.001, True), (2.1, 0.001, False), (2.5, 0.02, False)])
def test_a_promise_is_kept_or_missed(
    ratio: float, lost: float, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantization, "share", lambda _: 0.99)
    figures = figures_of((network("MobileNetV2", ratio, lost),), tmp_path)
    assert len(figures) == 4
    assert all(figure.kept for figure in figures) is kept
    assert [round(figure.value, 4) for figure in figures] == [ratio, 4.0, 0.99, 100 * lost]


def test_random_weights_have_no_accuracy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "share", lambda _: 0.99)
    bare = without_accuracy(network("ResNet50", 3.7, 0.5))
    assert {row.versus_ours for row in bare.rows} == {None}
    assert len(figures_of((bare,), tmp_path)) == 3


def test_every_network_has_its_promises() -> None:
    assert {name for name, promise in PROMISES.items() if promise.lost} == {"MobileNetV2", "EfficientNetLite0"}
    assert min(promise.speed for promise in PROMISES.values()) > 1
