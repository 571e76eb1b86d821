"""A hand-off keeps the answers, or the recipe stops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.errors import ParityMiss
from pipeline.measure.parity import FLOAT_TOLERANCE, INT8_AGREEMENT, INT8_SQNR_DB, check_parity, compare_logits
from pipeline.results import Parity

LOGITS = np.random.default_rng(0).normal(0, 4, (32, 10)).astype(np.float32)
NAN, INFINITE = float("nan"), float("inf")


def parity(**changes: float) -> Parity:
    fields = {"images": 32, "max_difference": 0.0, "scale": 8.0, "agreement": 1.0, "sqnr_db": 100.0}
    return Parity.model_validate({**fields, **changes})


def test_the_same_answers_differ_by_exactly_nothing() -> None:
    found = compare_logits(LOGITS, LOGITS.copy())
    assert (found.images, found.max_difference, found.agreement) == (32, 0, 1)
    assert found.scale == np.abs(LOGITS).max()
    assert found.sqnr_db >= 100
    check_parity(found, integer=False, where="here")
    check_parity(found, integer=True, where="here")


def test_one_moved_answer_is_seen_whole() -> None:
    moved = LOGITS.copy()
    moved[7, LOGITS[7].argmin()] = 100
    found = compare_logits(LOGITS, moved)
    assert found.agreement == 31 / 32
    assert found.max_difference == pytest.approx(100 - LOGITS[7].min())


def test_a_tie_may_be_decided_either_way() -> None:
    """Four images whose two best classes are apart by less than what noise moves every logit by."""
    expected, noise = 10 * np.eye(10)[np.arange(20) % 10], np.random.default_rng(0).normal(size=(20, 10))
    expected[:4] += 9.9 * np.eye(10)[np.arange(1, 5)]
    actual = expected + 0.2 * noise
    actual[:4] = expected[:4] + 0.2 * np.eye(10)[np.arange(1, 5)]
    found = compare_logits(expected.astype(np.float32), actual.astype(np.float32))
    assert (found.agreement, found.ties) == (0.8, 0.2)
    check_parity(found, integer=True, where="here")


def test_a_lead_beyond_noise_is_no_tie() -> None:
    expected = 10 * np.eye(10)[np.arange(20) % 10]
    actual = expected.copy()
    actual[:2] = expected[1:3]
    found = compare_logits(expected.astype(np.float32), actual.astype(np.float32))
    assert (found.agreement, found.ties) == (0.9, 0)
    with pytest.raises(ParityMiss, match="ties aside"):
        check_parity(found.model_copy(update={"sqnr_db": 40.0}), integer=True, where="here")


@given(st.floats(-40, 40))
def test_signal_to_noise_is_in_decibels(decibels: float) -> None:
    noise = LOGITS[:, ::-1] * 10 ** (-decibels / 20)
    expected, actual = LOGITS.astype(np.float64), LOGITS + noise
    assert compare_logits(expected, actual).sqnr_db == pytest.approx(decibels, abs=0.051)


@given(st.floats(1e-6, 10), st.integers(0, 319))
def test_a_difference_is_found_wherever_it_is(size: float, place: int) -> None:
    moved = LOGITS.astype(np.float64)
    moved.flat[place] -= size
    assert compare_logits(LOGITS, moved).max_difference == pytest.approx(size)


@pytest.mark.parametrize(
    ("scale", "largest"), [(0.0, FLOAT_TOLERANCE), (0.5, FLOAT_TOLERANCE), (8.0, 8 * FLOAT_TOLERANCE)]
)
def test_the_float_tolerance_is_relative_to_large_logits(scale: float, largest: float) -> None:
    check_parity(parity(scale=scale, max_difference=largest), integer=False, where="here")
    with pytest.raises(ParityMiss):
        check_parity(parity(scale=scale, max_difference=math.nextafter(largest, 1)), integer=False, where="here")


def test_float_parity_does_not_ask_for_agreement() -> None:
    check_parity(parity(agreement=0.0, max_difference=1e-6), integer=False, where="a tie")


@pytest.mark.parametrize(
    ("changes", "good"),
    [
        ({"agreement": INT8_AGREEMENT, "sqnr_db": INT8_SQNR_DB}, True),
        ({"agreement": math.nextafter(INT8_AGREEMENT, 0)}, False),
        ({"sqnr_db": math.nextafter(INT8_SQNR_DB, 0)}, False),
        ({"max_difference": 5.0}, True),
    ],
)
def test_int8_thresholds(changes: dict[str, float], good: bool) -> None:
    if good:
        check_parity(parity(**changes), integer=True, where="here")
    else:
        with pytest.raises(ParityMiss):
            check_parity(parity(**changes), integer=True, where="here")


def test_a_miss_names_the_hand_off_and_by_how_much() -> None:
    with pytest.raises(ParityMiss) as caught:
        check_parity(parity(agreement=0.5, sqnr_db=3.25, max_difference=4.5), integer=True, where="a · onnx on b")
    assert caught.value.cause == (
        "a · onnx on b changed the answers: 50.0% agreement, 3.25 dB, largest difference 4.5; "
        "wanted top-1 agreement of 95%, ties aside, and 20 dB"
    )
    assert caught.value.fix
    with pytest.raises(ParityMiss, match=r"wanted differences of at most 0\.008$"):
        check_parity(parity(max_difference=4.5), integer=False, where="here")


@pytest.mark.parametrize("value", [NAN, INFINITE, -INFINITE])
@pytest.mark.parametrize("side", [0, 1, (0, 1)])
def test_an_answer_that_is_no_number_is_a_miss(value: float, side: int | tuple[int, int]) -> None:
    pair = [LOGITS.copy(), LOGITS.copy()]
    for index in np.atleast_1d(side):
        pair[index][3, 4] = value
    with pytest.raises(ParityMiss, match="NaN or infinite"):
        compare_logits(*pair)


@pytest.mark.parametrize("field", ["max_difference", "scale", "agreement", "sqnr_db"])
def test_no_parity_holds_nan(field: str) -> None:
    with pytest.raises(ValidationError):
        parity(**{field: NAN})


@pytest.mark.parametrize("shape", [(32, 9), (31, 10), (32, 1), (1, 10), (10,)])
def test_answers_of_another_shape_are_a_miss(shape: tuple[int, ...]) -> None:
    with pytest.raises(ParityMiss, match="shape"):
        compare_logits(LOGITS, np.zeros(shape, np.float32))
