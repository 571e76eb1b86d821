"""The doubt of a number: intervals and paired tests, all at 95 %."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.results import Difference, Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 5000
NESTED_RESAMPLES = 400
BATCHES = 8
MOST_DRAWN = 2**22  # numbers at a time


def wilson(successes: int, trials: int) -> Interval:
    """A proportion with its Wilson score interval (Wilson, 1927).

    Args:
        successes: between 0 and ``trials``. trials: at least 1.

    >>> wilson(98, 100).value, round(wilson(98, 100).low, 3), round(wilson(98, 100).high, 3)
    (0.98, 0.93, 0.994)
    """
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, "wilson")
    return Interval(value=successes / trials, low=float(interval.low), high=float(interval.high))


def paired_difference(reference_N: NDArray[np.bool_], variant_N: NDArray[np.bool_], seed: int = 0) -> Difference:
    """How a variant's share of right answers differs from the reference's on the same images.

    The interval resamples images (paired bootstrap; Efron, 1979), keeping each image's two
    outcomes together; the p-value is McNemar's exact test (1947).
    """
    import numpy as np
    from scipy.stats import binomtest

    only_reference = int(np.sum(reference_N & ~variant_N))
    only_variant = int(np.sum(variant_N & ~reference_N))
    count, discordant = len(reference_N), only_reference + only_variant
    shares = np.array([only_reference, only_variant, count - discordant]) / count
    # Resampling images is drawing how often each of the three outcomes occurs.
    draws = np.random.default_rng(seed).multinomial(count, shares, RESAMPLES)
    low, high = np.percentile((draws[:, 1] - draws[:, 0]) / count, _tails())
    value = (only_variant - only_reference) / count
    p_value = float(binomtest(only_reference, discordant).pvalue) if discordant else 1.0
    return Difference(
        difference=Interval(value=value, low=float(low), high=float(high)),
        p_value=p_value,
        only_reference=only_reference,
        only_variant=only_variant,
    )


def sqnr_db(signal: float, noise: float) -> float:
    """Signal to quantization noise in dB, from their sums of squares; 150 where there is no noise at all.

    >>> sqnr_db(25.0, 0.25), sqnr_db(1.0, 0.0)
    (20.0, 150.0)
    """
    return round(10 * math.log10(max(signal, 1e-30) / max(noise, signal * 1e-15, 1e-30)), 1)


def median_interval(values: NDArray[np.float64], seed: int = 0) -> Interval:
    """The median with its percentile-bootstrap interval; a single value has no width."""
    import numpy as np

    draws = np.random.default_rng(seed).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.median(values[draws], axis=1), _tails())
    return Interval(value=float(np.median(values)), low=float(low), high=float(high))


def ratio_interval(ratios: NDArray[np.float64]) -> Interval:
    """The geometric mean of ratios, with an interval that the next run's mean is to lie in too.

    A machine is in one state for a while and then in another, so ratios measured one after the other
    are alike, and averaging removes only what neighbours do not share. Variance is taken apart into
    white noise (Allan, 1966: half the mean square of the steps between neighbours), which averages
    out, and the rest of the variance of at most eight batches (Law & Carson, 1979), which flickers
    and is taken as met by every run anew. Student's t (1908) of the batches.

    Args:
        ratios: positive, at least two, in the order in which they were measured.
    """
    import numpy as np
    from scipy.stats import t

    logs = np.log(ratios)
    batches = min(len(logs), BATCHES)
    between = float(np.var([batch.mean() for batch in np.array_split(logs, batches)], ddof=1))
    white = float(np.mean(np.diff(logs) ** 2)) / 2
    flicker = max(0.0, between - white * batches / len(logs))
    variance = max(white / len(logs) + flicker, between / batches)
    half = t.ppf((1 + CONFIDENCE) / 2, batches - 1) * variance**0.5
    value, low, high = np.exp([logs.mean(), logs.mean() - half, logs.mean() + half])
    return Interval(value=float(value), low=float(low), high=float(high))


def nested_intervals(ms_SRC: NDArray[np.float64], percentiles: Sequence[float], seed: int = 0) -> list[Interval]:
    """Percentiles of all samples, and last their mean, each with a two-stage bootstrap interval.

    Sittings are drawn, then rounds within each (Davison & Hinkley, 1997, 3.8): samples of one
    sitting are alike, so drawing them one by one would promise too much.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    sittings, rounds = ms_SRC.shape[:2]

    def facts(drawn_BN: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack([*np.percentile(drawn_BN, percentiles, axis=1), drawn_BN.mean(axis=1)])

    def drawn(count: int) -> NDArray[np.float64]:
        sitting = rng.integers(sittings, size=(count, sittings, 1))
        return ms_SRC[sitting, rng.integers(rounds, size=(count, sittings, rounds))].reshape(count, -1)

    block = max(1, MOST_DRAWN // ms_SRC.size)
    draws = np.concatenate([facts(drawn(min(block, NESTED_RESAMPLES - i))) for i in range(0, NESTED_RESAMPLES, block)])
    bounds = np.percentile(draws, _tails(), axis=0)
    return [
        Interval(value=float(value), low=float(min(low, value)), high=float(max(high, value)))
        for value, low, high in zip(facts(ms_SRC.reshape(1, -1))[0], bounds[0], bounds[1], strict=True)
    ]


def _tails() -> tuple[float, float]:
    return 50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)
