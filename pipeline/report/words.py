"""How values are written for people: the only place where ratios become per cent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pipeline.results import Interval

MINUS = "−"
FEW_IMAGES = 1000


def plain(text: str) -> str:
    """One line of printable text: names may hold newlines, terminal codes or direction marks.

    >>> plain("a\\nb\\x1b[31m")
    'a b [31m'
    """
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def shortened(text: str, length: int) -> str:
    """The text, or its beginning and an ellipsis.

    >>> shortened("mobilenet", 5)
    'mobi…'
    """
    return text if len(text) <= length else f"{text[: length - 1]}…"


def places(value: float) -> int:
    """Decimals that leave three significant digits.

    >>> places(0.123), places(1.23), places(123.0)
    (3, 2, 0)
    """
    return 0 if value == 0 else min(6, max(0, 2 - math.floor(math.log10(abs(value)))))


def fixed(value: float, decimals: int, sign: bool = False) -> str:
    """A number with a true minus sign, and none on a zero.

    >>> fixed(-0.04, 1), fixed(1.25, 2, sign=True), fixed(-3, 1)
    ('0.0', '+1.25', '−3.0')
    """
    text = f"{abs(value):.{decimals}f}"
    if float(text) == 0:
        return text
    return (MINUS if value < 0 else "+" if sign else "") + text


def significant(value: float) -> str:
    """Three significant digits.

    >>> significant(0.01234), significant(12.34), significant(1234.5)
    ('0.0123', '12.3', '1234')
    """
    return fixed(value, places(value))


def multiple_places(ratio: float) -> int:
    """Decimals of a ratio of two latencies: hundredths are as fine as they are known."""
    return places(ratio) if abs(ratio) < 0.1 else min(2, places(ratio))


def multiple(ratio: float) -> str:
    """A ratio of two latencies.

    >>> multiple(1.8342), multiple(0.9213), multiple(12.34)
    ('1.83×', '0.92×', '12.3×')
    """
    return f"{fixed(ratio, multiple_places(ratio))}×"


def percent_places(images: int) -> int:
    """Decimals of a per cent: below a thousand images the second one would be finer than one image."""
    return 1 if images < FEW_IMAGES else 2


def percent(ratio: float, images: int, sign: bool = False) -> str:
    """A ratio in [-1, 1] as per cent or points, without the unit.

    >>> percent(0.97222, 360), percent(-0.0112, 10_000, sign=True)
    ('97.2', '−1.12')
    """
    return fixed(100 * ratio, percent_places(images), sign)


def bounds(interval: Interval, decimals: int, scale: float = 1, sign: bool = False) -> str:
    """Both ends of an interval.

    >>> bounds(Interval(value=0.5, low=0.25, high=0.75), 0, scale=100)
    '[25, 75]'
    """
    return f"[{fixed(scale * interval.low, decimals, sign)}, {fixed(scale * interval.high, decimals, sign)}]"


def overlap(a: Interval, b: Interval) -> bool:
    return a.low <= b.high and b.low <= a.high


def count(number: float) -> str:
    """Three significant digits with a decimal prefix.

    >>> count(950), count(2_542_856), count(56_500_000)
    ('950', '2.54 M', '56.5 M')
    """
    power = 0 if number < 1000 else min(4, (len(str(int(number))) - 1) // 3)
    scaled = number / 1000**power
    return f"{scaled:.0f}" if power == 0 else f"{significant(scaled)} {' kMGT'[power]}"


def size(number_of_bytes: int) -> str:
    """Bytes, in powers of a thousand.

    >>> size(950), size(2_410_000)
    ('950 B', '2.41 MB')
    """
    text = count(number_of_bytes)
    return f"{text}B" if " " in text else f"{text} B"


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(0.034), duration(75), duration(3900)
    ('34 ms', '1 min 15 s', '1 h 05 min')
    """
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 60:
        return f"{significant(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def probability(p: float) -> str:
    """A p-value.

    >>> probability(0.4531), probability(0.00002)
    ('p = 0.453', 'p < 0.001')
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def value(data: Any) -> str:
    """JSON-ready data on one line.

    >>> value({"epochs": 30, "mean": [0.5, 0.25], "resume": True, "note": None})
    'epochs 30, mean 0.5 0.25, resume yes, note none'
    """
    if isinstance(data, Mapping):
        return ", ".join(f"{plain(str(key))} {value(item)}" for key, item in data.items())
    if isinstance(data, (list, tuple)):
        return " ".join(value(item) for item in data)
    if isinstance(data, bool) or data is None:
        return {True: "yes", False: "no", None: "none"}[data]
    return f"{data:.6g}" if isinstance(data, float) else plain(str(data))
