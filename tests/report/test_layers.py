from __future__ import annotations

import pytest

from pipeline.report.layers import layers
from pipeline.report.sweeps import sweeps
from pipeline.report.tables import rows
from pipeline.results import Layer

from .example import example_results, layers_of


def test_layers_stand_in_the_order_they_run() -> None:
    found = layers(layers_of(12))
    assert [layer.number for layer in found.shown] == list(range(1, 13))
    assert max(layer.share for layer in found.shown) == 100
    assert (found.left_out, found.their_share) == (0, "0.0")


def test_the_quick_ones_of_many_are_counted_together() -> None:
    many = layers_of(100)
    found = layers(many)
    assert (len(found.shown), found.left_out) == (60, 40)
    shares = sorted(layer.share for layer in many)
    assert float(found.their_share) == pytest.approx(100 * sum(shares[:40]), abs=0.06)
    assert min(entry.layer.share for entry in found.shown) == shares[40]
    assert [entry.number for entry in found.shown] == sorted(entry.number for entry in found.shown)


def test_the_noisiest_has_the_longest_bar_and_the_unknown_none() -> None:
    found = layers(
        tuple(
            Layer(name=name, kernel="Conv", ms=1, share=0.3, sqnr_db=db)
            for name, db in (("a", 20), ("b", 40), ("c", None))
        )
    )
    assert [entry.noise for entry in found.shown] == [100, 10, 0]
    assert [entry.sqnr for entry in found.shown] == ["20.0", "40.0", "—"]


def test_no_layers_are_none() -> None:
    found = layers(())
    assert (found.shown, found.noise_known) == ([], False)


def test_sweeps_are_parted_into_threads_and_batches() -> None:
    results = example_results()
    found = sweeps(results, rows(results))
    assert [entry.sweep.threads for entry in found.threads] == [1, 2, 4, 16]
    assert [entry.sweep.batch for entry in found.batches] == [8, 32]
    assert found.threads[1].speedup is not None
    assert found.threads[1].speedup.value == "1.62×"
    unmeasured = found.threads[3]
    assert (unmeasured.p50, unmeasured.images, unmeasured.note) == (None, "", "this machine has 8 cores")
