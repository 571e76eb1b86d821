"""Plans are values; a schedule rises, then falls to nothing."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.errors import UsageError
from pipeline.plugin import read
from pipeline.trainers.plan import Plan, learning_rate


@given(
    total=st.integers(1, 400),
    warmup=st.floats(0, 0.9),
    lr=st.floats(1e-4, 10),
    schedule=st.sampled_from(["one_cycle", "cosine"]),
)
def test_the_rate_rises_then_falls(total: int, warmup: float, lr: float, schedule: str) -> None:
    plan = Plan(lr=lr, warmup=warmup, schedule=schedule)
    rates = [learning_rate(step, total, plan) for step in range(total)]
    assert all(0 < rate <= lr * (1 + 1e-9) for rate in rates)
    peak = max(range(total), key=rates.__getitem__)
    assert all(before <= after for before, after in itertools.pairwise(rates[: peak + 1]))
    assert all(before >= after for before, after in itertools.pairwise(rates[peak:]))
    if total >= 20:
        assert max(rates) > 0.95 * lr
        assert rates[-1] < 0.05 * lr


def test_a_straight_and_a_curved_rise() -> None:
    straight, curved = (Plan(lr=1.0, warmup=0.5, schedule=name) for name in ("cosine", "one_cycle"))
    assert [learning_rate(step, 8, straight) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]
    assert learning_rate(0, 8, curved) < 0.25


@pytest.mark.parametrize(
    ("written", "wanted"), [("none", ()), ([], ()), ("flip", ("flip",)), (["crop", "mixup"], ("crop", "mixup"))]
)
def test_changes_are_written_short(written: object, wanted: tuple[str, ...]) -> None:
    assert Plan(augment=written).augment == wanted


@pytest.mark.parametrize("wrong", ["flp", ["flip", "none"], 3, None])
def test_unknown_changes_are_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Plan(augment=wrong)


def test_the_error_lists_the_changes() -> None:
    with pytest.raises(UsageError, match="cutout") as caught:
        read("stage", {"Train": {"augment": "cut"}}, "here")
    assert len(caught.value.lines()) <= 6


def test_half_the_batch_is_half_the_rate() -> None:
    assert Plan(batch=64, lr=0.1).halved() == Plan(batch=32, lr=0.05)
