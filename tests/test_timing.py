"""What is timed: every variant, and with it other numbers of threads and images a call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from measured import FLOOR, Case, answered, data, study_of, timings
from rich.console import Console
from tiny_run import again, copied, done, study

from pipeline import timing
from pipeline.artifact import Artifact
from pipeline.aside import Aside, Crashed
from pipeline.conclude import Measured, conclude
from pipeline.execute import Workshop
from pipeline.measure.footprint import Start
from pipeline.results import Results
from pipeline.signals import StopSignal
from pipeline.store import Store
from pipeline.study import Benchmark
from pipeline.timing import Entrant, Timed, _images, entrants_of, floors_of, footprints


def asked(entrants: Sequence[Entrant]) -> list[tuple[int, int, int]]:
    return [(entrant.variant, entrant.threads, entrant.batch) for entrant in entrants]


def test_variants_come_first_and_then_what_else_is_asked_for(tmp_path: Path) -> None:
    found = [answered(case, tmp_path) for case in (Case("base", batch=0), Case("int8", batch=1))]
    benchmark = Benchmark(threads=1, sweep_threads=(1, 2, 2), sweep_batches=(8,))
    entrants, refused = entrants_of(found, benchmark)
    assert asked(entrants) == [(0, 1, 1), (1, 1, 1), (0, 1, 8), (0, 2, 1), (0, 2, 8), (1, 2, 1)]
    assert [(sweep.variant, sweep.threads, sweep.batch) for sweep in refused] == [(1, 1, 8), (1, 2, 8)]
    assert {sweep.note for sweep in refused} == {"the file takes 1 image a call"}
    assert all(sweep.p50_ms is None for sweep in refused)


def test_without_sweeps_there_are_the_variants(tmp_path: Path) -> None:
    entrants, refused = entrants_of([answered(Case("base"), tmp_path)], Benchmark(threads=4))
    assert (asked(entrants), refused) == ([(0, 4, 1)], [])


def test_a_file_of_eight_images_refuses_four(tmp_path: Path) -> None:
    benchmark = Benchmark(sweep_batches=(4, 8))
    entrants, [refused] = entrants_of([answered(Case("base", batch=8), tmp_path)], benchmark)
    assert asked(entrants) == [(0, 1, 1), (0, 1, 8)]
    assert refused.note == "the file takes 8 images a call"


def concluded(tmp_path: Path, ms_V: list[float], *cases: Case, **benchmark: object) -> Results:
    """Results of those milliseconds, one of each that is timed."""
    found, asked_for = [answered(case, tmp_path) for case in cases], study_of(cases, {}, dict(benchmark))
    entrants, refused = entrants_of(found, asked_for.benchmark)
    ms_SRVC = np.broadcast_to(np.array(ms_V)[:, None], (4, 2, len(ms_V), 3))
    timed = Timed(timings(ms_SRVC), (FLOOR,) * len(cases), tuple(entrants), tuple(refused))
    return conclude(Measured(asked_for, data(), found, timed, [None] * len(cases)), ())


def test_the_numbers_of_a_sweep(tmp_path: Path) -> None:
    cases = Case("base", batch=0), Case("int8", batch=1)
    results = concluded(tmp_path, [4.0, 2.0, 16.0, 2.5, 1.0, 1.0], *cases, sweep_threads=[2], sweep_batches=[8])
    assert [variant.latency.p50_ms.value for variant in results.variants] == [4.0, 2.0]
    many, threaded, both, int8, *refused = results.sweeps
    assert (many.variant, many.threads, many.batch) == (0, 1, 8)
    assert many.images_per_s == pytest.approx(500)
    assert many.speedup is not None
    assert many.speedup.value == pytest.approx(2.0)  # eight images in the time of four
    assert (threaded.threads, threaded.batch, threaded.images_per_s) == (2, 1, pytest.approx(400))
    assert (both.threads, both.batch, both.images_per_s) == (2, 8, pytest.approx(8000))
    assert (int8.variant, int8.threads, int8.images_per_s) == (1, 2, pytest.approx(1000))
    assert [sweep.note for sweep in refused] == ["the file takes 1 image a call"] * 2


def test_a_real_sweep(tmp_path: Path) -> None:
    tiny = copied(tmp_path)
    results, _ = again(tiny.out, benchmark={**study()["benchmark"], "sweep_threads": [2], "sweep_batches": [8]})
    assert done(results) == ["latency of all variants, interleaved"]
    measured = [sweep for sweep in results.sweeps if not sweep.note]
    assert [(sweep.variant, sweep.threads, sweep.batch) for sweep in measured] == [(0, 2, 1), (1, 2, 1)]
    for sweep in measured:
        assert sweep.p50_ms is not None
        assert sweep.images_per_s == pytest.approx(1e3 / sweep.p50_ms.value)
    refused = [sweep for sweep in results.sweeps if sweep.note]
    assert [(sweep.variant, sweep.threads, sweep.batch) for sweep in refused] == [
        (v, t, 8) for v in (0, 1) for t in (1, 2)
    ]
    assert {sweep.note for sweep in refused} == {"the file takes 1 image a call"}
    assert "the file takes 1 image a call" in (tiny.out / "report.html").read_text()


@pytest.fixture
def shop(tmp_path: Path, kept_aside: Aside) -> Workshop:
    store = Store(tmp_path / "store")
    store.open()
    return Workshop(data(), store, Console(quiet=True), StopSignal(), 0, "cpu", 1, aside=kept_aside)


def test_images_are_repeated_where_a_batch_is_larger_than_the_split(shop: Workshop, tmp_path: Path) -> None:
    case = answered(Case("base", batch=0), tmp_path)
    assert len(_images(shop, [Entrant(0, case.runtime, case.artifact, 1, 1000)])) == 1000


def test_no_cold_starts_where_none_are_asked_for(shop: Workshop, tmp_path: Path) -> None:
    cases = Case("base"), Case("int8")
    asked_for = study_of(cases, {}, {"cold_starts": 0})
    assert footprints(shop, asked_for, [answered(case, tmp_path) for case in cases]) == [None, None]
    assert shop.records == []


def test_a_variant_that_crashes_as_it_starts_has_no_footprint_and_the_others_have(
    shop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def start(runtime: object, artifact: Artifact, x_1CHW: object, threads: int) -> Start:
        started.append(artifact.manifest.recipe)
        if artifact.manifest.recipe == "frail":
            raise Crashed("the runtime crashed (SIGSEGV)")
        return Start(9.0 + len(started), 2.0, 1.0, 100, 10)

    monkeypatch.setattr(timing, "cold_start", start)
    cases = Case("base"), Case("frail"), Case("other")
    asked_for = study_of(cases, {}, {"cold_starts": 2})
    base, frail, other = footprints(shop, asked_for, [answered(case, tmp_path) for case in cases])
    assert started == ["base", "frail", "other", "base", "other"]
    assert (frail, base is None, other is None) == (None, False, False)
    assert base is not None
    assert (base.cold_start_ms.low, base.cold_start_ms.value, base.cold_start_ms.high) == (10.0, 11.5, 13.0)
    [told] = shop.warnings
    assert "frail" in told
    assert "how it starts is not known" in told


def test_floors_are_of_the_network_and_the_file(tmp_path: Path, kept_aside: Aside) -> None:
    artifacts = [answered(case, tmp_path).artifact for case in (Case("base", size=10**6), Case("int8", integer=True))]
    large, small = kept_aside.do(floors_of, artifacts, 1)
    assert large.ms > small.ms > 0
    assert large.bound == small.bound == "memory"


def test_a_quiet_run_measures_like_any_other(tmp_path: Path) -> None:
    from pipeline.run import run
    from pipeline.study import read_study

    tiny = copied(tmp_path)
    changed = read_study({**study(), "benchmark": {**study()["benchmark"], "rounds": 4}})
    results = run(changed, tiny.out, threads=1, device="cpu", console=Console(quiet=True))
    assert done(results) == ["latency of all variants, interleaved"]
