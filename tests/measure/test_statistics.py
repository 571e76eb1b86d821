"""Intervals that hold what they promise, and differences judged on the same images."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from pipeline.measure.statistics import CONFIDENCE, median_interval, paired_difference, ratio_interval, wilson

Z = 1.959963984540054
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300)


def by_hand(successes: int, trials: int) -> tuple[float, float]:
    """Wilson's formula as his paper has it."""
    share, spread = successes / trials, Z**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return centre - half, centre + half


def answers(only_reference: int, only_variant: int, both: int, neither: int = 0) -> tuple[np.ndarray, np.ndarray]:
    reference = [True] * only_reference + [False] * only_variant + [True] * both + [False] * neither
    variant = [False] * only_reference + [True] * only_variant + [True] * both + [False] * neither
    return np.array(reference), np.array(variant)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_the_formula(counts: tuple[int, int]) -> None:
    interval = wilson(*counts)
    assert interval.value == counts[0] / counts[1]
    assert (interval.low, interval.high) == pytest.approx(by_hand(*counts), abs=1e-9)
    assert 0 <= interval.low <= interval.value <= interval.high <= 1


def test_wilson_where_the_textbook_interval_has_no_width() -> None:
    assert wilson(10, 10).low == pytest.approx(0.7225, abs=1e-4)
    assert wilson(0, 10).high == pytest.approx(0.2775, abs=1e-4)


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.97])
def test_wilson_covers_as_often_as_it_says(share: float) -> None:
    trials = 150
    covering = [k for k in range(trials + 1) if by_hand(k, trials)[0] <= share <= by_hand(k, trials)[1]]
    agreed = [k for k in range(trials + 1) if wilson(k, trials).low <= share <= wilson(k, trials).high]
    assert agreed == covering
    assert binom.pmf(agreed, trials, share).sum() == pytest.approx(CONFIDENCE, abs=0.03)


def test_a_paired_interval_is_the_bootstrap_over_images() -> None:
    reference, variant = answers(14, 5, 160, 21)
    rng = np.random.default_rng(1)
    chosen = rng.integers(len(reference), size=(20_000, len(reference)))
    draws = variant[chosen].mean(1) - reference[chosen].mean(1)
    found = paired_difference(reference, variant).difference
    assert found.value == pytest.approx(-9 / 200)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])), abs=0.006)


@pytest.mark.parametrize(
    ("b", "c", "p"), [(9, 1, 22 / 1024), (1, 9, 22 / 1024), (5, 5, 1.0), (6, 0, 2 / 64), (0, 0, 1.0)]
)
def test_mcnemar_by_hand(b: int, c: int, p: float) -> None:
    found = paired_difference(*answers(b, c, 50, 7))
    assert found.p_value == pytest.approx(p)
    assert (found.only_reference, found.only_variant) == (b, c)


def test_images_that_both_get_right_or_wrong_do_not_move_the_p_value() -> None:
    few, many = (paired_difference(*answers(9, 1, both, both)) for both in (0, 4000))
    assert few.p_value == many.p_value
    assert abs(many.difference.value) < abs(few.difference.value)


@given(PAIRS)
def test_an_interval_holds_its_value(pairs: list[tuple[bool, bool]]) -> None:
    reference, variant = np.array(pairs).T
    found = paired_difference(reference, variant)
    assert -1 <= found.difference.low <= found.difference.value <= found.difference.high <= 1
    assert found.difference.value == pytest.approx(variant.mean() - reference.mean())


@given(PAIRS)
def test_swapping_the_two_negates_the_difference(pairs: list[tuple[bool, bool]]) -> None:
    reference, variant = np.array(pairs).T
    one, other = paired_difference(reference, variant), paired_difference(variant, reference)
    assert other.difference.value == -one.difference.value
    assert other.p_value == pytest.approx(one.p_value)
    assert (other.only_reference, other.only_variant) == (one.only_variant, one.only_reference)
    slack = 0.02 + 1 / len(pairs)
    assert other.difference.low == pytest.approx(-one.difference.high, abs=slack)
    assert other.difference.high == pytest.approx(-one.difference.low, abs=slack)


def test_the_same_answers_differ_by_nothing() -> None:
    right = np.random.default_rng(0).random(100) < 0.8
    found = paired_difference(right, right)
    assert (found.difference.value, found.difference.low, found.difference.high, found.p_value) == (0, 0, 0, 1)


def test_pairing_is_tighter_than_comparing_two_shares() -> None:
    reference, variant = answers(6, 2, 400, 42)
    found = paired_difference(reference, variant).difference
    one, other = (wilson(int(right.sum()), len(right)) for right in (reference, variant))
    assert found.high - found.low < 0.5 * (one.high - one.low + other.high - other.low)


def test_the_difference_is_covered_and_seldom_found_where_there_is_none() -> None:
    rng, covered, found = np.random.default_rng(5), 0, 0
    for _ in range(200):
        reference, flips = rng.random(300) < 0.9, rng.random((2, 300))
        variant = np.where(reference, flips[0] > 0.05, flips[1] < 0.45)  # right as often: 0.9
        result = paired_difference(reference, variant)
        covered += result.difference.low <= 0 <= result.difference.high
        found += result.p_value < 0.05
    assert covered >= 180
    assert found <= 16


def test_the_median_is_covered_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(2), 0
    for seed in range(200):
        interval = median_interval(rng.lognormal(0.0, 0.4, 40), seed)
        covered += interval.low <= 1.0 <= interval.high
    assert 180 <= covered <= 199


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60), st.floats(0.1, 10))
def test_the_median_interval_follows_its_unit(values: list[float], factor: float) -> None:
    one, other = median_interval(np.array(values)), median_interval(np.array(values) * factor)
    assert min(values) <= one.low <= one.value <= one.high <= max(values)
    assert one.value == pytest.approx(float(np.median(values)))
    assert (other.low, other.high) == pytest.approx((one.low * factor, one.high * factor))


def test_a_single_value_has_no_width() -> None:
    interval = median_interval(np.array([3.5]))
    assert (interval.low, interval.value, interval.high) == (3.5, 3.5, 3.5)


def test_more_rounds_are_narrower() -> None:
    values = np.random.default_rng(0).normal(10, 1, 400)
    few, many = median_interval(values[:20]), median_interval(values)
    assert many.high - many.low < 0.5 * (few.high - few.low)


def test_the_same_data_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(10, 1, 40)
    assert median_interval(values) == median_interval(values)
    right = values > 10
    assert paired_difference(right, ~right) == paired_difference(right, ~right)


def test_a_ratio_by_hand() -> None:
    found = ratio_interval(np.array([1.0, 2.0, 4.0]))
    assert found.value == pytest.approx(2.0)
    # Variance ln²2, of which the steps explain ln²2 / 2; Student's t with two degrees of freedom.
    half = 4.302653 * math.log(2) * math.sqrt(1 / 2 / 3 + 1 / 2)
    assert (found.low, found.high) == pytest.approx((2 * math.exp(-half), 2 * math.exp(half)), rel=1e-5)


def test_ratios_that_alternate_keep_the_interval_of_their_batches() -> None:
    found = ratio_interval(np.array([1.0, 2.0, 1.0, 2.0]))  # steps alone explain more than the variance
    half = 3.182446 * math.log(2) * math.sqrt(1 / 2 / 4)
    assert found.high / found.value == pytest.approx(math.exp(half), rel=1e-5)


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=30))
def test_the_ratio_the_other_way_round_is_one_over_it(ratios: list[float]) -> None:
    one, other = ratio_interval(np.array(ratios)), ratio_interval(1 / np.array(ratios))
    assert one.low <= one.value <= one.high
    assert (other.low, other.value, other.high) == pytest.approx((1 / one.high, 1 / one.value, 1 / one.low))


@pytest.mark.parametrize("sittings", [4, 8, 40, 200])
def test_a_ratio_is_covered_whatever_the_number_of_sittings(sittings: int) -> None:
    rng = np.random.default_rng(sittings)
    found = [ratio_interval(rng.lognormal(0.3, 0.2, sittings)) for _ in range(2000)]
    assert sum(interval.low <= math.exp(0.3) <= interval.high for interval in found) / 2000 >= 0.94


@pytest.mark.parametrize("sittings", [40, 200, 1000])
def test_more_sittings_are_narrower_where_nothing_flickers(sittings: int) -> None:
    rng = np.random.default_rng(sittings)
    halves = [math.log(i.high / i.value) for i in (ratio_interval(rng.lognormal(0, 0.2, sittings)) for _ in range(500))]
    independent = 1.96 * 0.2 / math.sqrt(sittings)
    assert independent < np.median(halves) < 2 * independent


def test_a_ratio_is_covered_where_neighbours_are_alike() -> None:
    rng, covered, naive = np.random.default_rng(0), 0, 0
    for _ in range(500):
        states = np.repeat(rng.normal(0, 0.1, 16), 5)  # a machine in one state for five sittings, then in another
        logs = states + rng.normal(0, 0.05, 80)
        found = ratio_interval(np.exp(logs))
        covered += found.low <= 1 <= found.high
        naive += abs(logs.mean()) <= 1.99 * logs.std(ddof=1) / math.sqrt(80)
    assert covered >= 0.95 * 500
    assert naive < 0.75 * 500


def test_the_next_run_agrees_on_a_machine_that_flickers() -> None:
    """Pink noise: as much variance in every octave, so what a run cannot see is as large as what it does."""
    rng, agreed, naive = np.random.default_rng(0), 0, 0
    size, sittings = 1024, 64
    spectrum = 1 / np.sqrt(np.maximum(np.arange(size // 2 + 1), 1))
    for _ in range(500):
        phases = rng.normal(size=spectrum.size) + 1j * rng.normal(size=spectrum.size)
        pink = np.fft.irfft(spectrum * phases, size)
        logs = 0.03 * pink / pink.std() + rng.normal(0, 0.02, size)
        start = int(rng.integers(size - 2 * sittings))
        runs_2S = logs[start : start + 2 * sittings].reshape(2, sittings)
        one, other = (ratio_interval(np.exp(run)) for run in runs_2S)
        apart = abs(math.log(one.value / other.value))
        agreed += apart <= math.hypot(math.log(one.high / one.value), math.log(other.high / other.value))
        naive += apart <= 2 * math.hypot(*runs_2S.std(axis=1, ddof=1)) / math.sqrt(sittings)
    assert agreed >= 0.95 * 500
    assert naive < 0.75 * 500
