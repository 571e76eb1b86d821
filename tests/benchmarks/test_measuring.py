"""What the ruler's promises are measured with."""

from __future__ import annotations

import math
import time

import pytest
from tiny_run import finished

from benchmarks import measuring
from benchmarks.measuring import agree, averaged, looped, one_millisecond, pairs
from pipeline.results import read_results


def test_a_bare_loop_tells_its_mean() -> None:
    told = looped(one_millisecond, 5)
    assert len(told) == 5
    assert len(set(told)) == 1
    assert told[0] >= 1


def test_an_average_is_told_for_every_call() -> None:
    assert averaged(lambda calls: [1.0, 2.0, 6.0][:calls])(3) == [3.0] * 3


def test_one_millisecond_is_never_less() -> None:
    start = time.perf_counter()
    one_millisecond()
    assert time.perf_counter() - start >= 1e-3


@pytest.mark.parametrize(("first", "second", "expected"), [(0.0, 0.0, True), (0.0, 0.05, True), (0.0, 0.06, False)])
def test_runs_agree_where_both_intervals_allow_it(first: float, second: float, expected: bool) -> None:
    assert agree((first, 0.04), (second, 0.03)) == expected


def test_every_two_variants_have_a_ratio() -> None:
    results = read_results(finished().out)
    [other] = [v for i, v in enumerate(results.variants) if i != results.reference]
    assert list(pairs(results)) == [
        (
            pytest.approx(math.log(other.latency.ratio.value)),
            pytest.approx(math.log(other.latency.ratio.high / other.latency.ratio.value)),
        )
    ]
    three = results.model_copy(update={"variants": (*results.variants, other)})
    assert len(list(pairs(three))) == 3
    assert list(pairs(three))[2][0] == 0


def test_every_part_is_a_promise() -> None:
    assert set(measuring.PARTS) == {"self-test", "overhead", "agreement", "mobile"}
