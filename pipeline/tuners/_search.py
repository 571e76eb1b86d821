"""Which layers stay float: more of them until the budget holds, then fewer, by what was measured alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.results import Interval
from pipeline.spec import Value

Floats = tuple[str, ...]
LEAST_MS = 1e-6


class Trial(Value):
    """One choice of float layers, as measured.

    Attributes:
        floats: the layers, in the order they run.
        loss: top-1 lost against the float model on the same images, a fraction of 1; paired.
        agreement: share of images with the float model's answer.
        ms: of one image. doubt_ms: how far its interval reaches against what was timed with it.
    """

    floats: Floats
    loss: Interval
    agreement: float
    ms: float
    doubt_ms: float = 0.0


class Step(Value):
    """What was changed and why.

    Attributes:
        layers: that became float, or int8 again.
        before, after: measured in the same sittings.
    """

    layers: Floats
    before: Trial
    after: Trial

    @property
    def gained(self) -> float:
        """Top-1, a fraction of 1; negative where layers became int8 again at a cost."""
        return self.before.loss.value - self.after.loss.value

    @property
    def lost_ms(self) -> float:
        return self.after.ms - self.before.ms


# Choices worth a measurement, from the layers that are float already.
Propose = Callable[[Floats], Sequence[Floats]]
# All of them in the same sittings.
Measure = Callable[[Sequence[Floats]], Sequence[Trial]]
# Whether a loss is within the budget.
Holds = Callable[[Interval], bool]


def grown(floats: Floats, propose: Propose, measure: Measure, holds: Holds) -> tuple[Step, ...]:
    """Let more layers be float, each time those that gain most accuracy a millisecond.

    The last step holds the budget, unless nothing more was proposed.

    Args:
        floats: layers that do not suffice.
    """
    steps: list[Step] = []
    while choices := propose(floats):
        now, *trials = measure([floats, *choices])
        holding = [trial for trial in trials if holds(trial.loss)]
        after = cheapest(holding) if holding else max(trials, key=lambda trial: worth(now, trial))
        steps.append(Step(layers=_apart(after.floats, floats), before=now, after=after))
        if holding:
            break
        floats = after.floats
    return tuple(steps)


def shrunk(floats: Floats, kept: Floats, measure: Measure, holds: Holds) -> tuple[Step, ...]:
    """Let layers be int8 again, one by one, as long as the budget holds and nothing becomes slower.

    Args:
        floats: layers with which the budget holds. kept: those of them that stay float in any case.
    """
    steps: list[Step] = []
    while len(_apart(floats, kept)) > 1:
        choices = [_apart(floats, (layer,)) for layer in _apart(floats, kept)]
        now, *trials = measure([floats, *choices])
        holding = [trial for trial in trials if holds(trial.loss) and trial.ms <= now.ms + trial.doubt_ms]
        if not holding:
            break
        after = cheapest(holding)
        steps.append(Step(layers=_apart(floats, after.floats), before=now, after=after))
        floats = after.floats
    return tuple(steps)


def worth(now: Trial, then: Trial) -> tuple[float, float]:
    """Accuracy gained a millisecond lost: of top-1 first, and where that is equal of agreement with float.

    Less than its doubt is no time that was measured.
    """
    lost_ms = max(then.ms - now.ms, then.doubt_ms, LEAST_MS)
    top1, agreement = now.loss.value - then.loss.value, then.agreement - now.agreement
    return _rate(top1, lost_ms), _rate(agreement, lost_ms)


def _rate(gain: float, ms: float) -> float:
    """A loss is not better for having taken long."""
    return gain / ms if gain > 0 else gain


def cheapest(trials: Sequence[Trial]) -> Trial:
    """The fastest; of those that cannot be told from it, the one with the fewest float layers."""
    least_ms = min(trial.ms for trial in trials)
    equal = [trial for trial in trials if trial.ms - trial.doubt_ms <= least_ms]
    return min(equal, key=lambda trial: (len(trial.floats), trial.ms, trial.floats))


def points(loss: Interval, labelled: bool = True) -> str:
    """A loss with its interval: of top-1, or where nobody knows labels of agreement with the float model.

    >>> points(Interval(value=0.0125, low=-0.001, high=0.026))
    '1.25 points of top-1 [−0.10, 2.60]'
    """
    value, low, high = (f"{100 * part:.2f}".replace("-", "−") for part in (loss.value, loss.low, loss.high))
    return f"{value} points of {'top-1' if labelled else 'agreement'} [{low}, {high}]"


def remedy(fix: str, labelled: bool) -> str:
    """What to do where a budget is not held."""
    return fix if labelled else f"{fix}; or give labels: an answer that differs from float's need not be worse"


def _apart(floats: Floats, without: Floats) -> Floats:
    return tuple(name for name in floats if name not in without)
