"""Two runs side by side, where that is fair: as values, and as a table made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from pipeline.errors import UsageError
from pipeline.predictions import Predictions
from pipeline.report import words
from pipeline.report.tables import escaped, markdown_table
from pipeline.results import Difference, Interval, Results, Variant
from pipeline.spec import Value

HEADERS = ("variant", "runtime", "top-1 %", "Δ top-1, points", "p50 ms", "speed", "against own reference", "file")
NO_DIFFERENCE: Final = "no difference shown"
SIGNIFICANT = 0.05

Key = tuple[str, str, str]
Pair = tuple[Predictions | None, Predictions | None]
Direction = Literal["faster", "slower", "no difference shown"]


class Compared(Value):
    """One variant in two runs; in each pair the first run's value stands first.

    Attributes:
        top1: on the test images.
        top1_change: second minus first, a fraction of 1.
        paired: the same change from the answers to the same images; None where a run's answers are not known.
        accuracy: from the paired test where there is one, else from whether the intervals overlap.
        speed: first p50 / second p50; above 1 is faster now.
        latency: the verdict on milliseconds: intervals part by more than either run drifted.
        ratio: reference latency / this latency, each within its own run; drift does not move it.
        relative_speed: second ratio / first; None where the runs have unlike references, or this is it.
        relative_latency: the verdict on the ratios.
    """

    recipe: str
    format: str
    runtime: str
    top1: tuple[Interval, Interval]
    images: tuple[int, int]
    top1_change: float
    paired: Difference | None
    accuracy: Literal["better", "worse", "no difference shown"]
    p50_ms: tuple[Interval, Interval]
    speed: float | None
    latency: Direction
    ratio: tuple[Interval, Interval]
    relative_speed: float | None
    relative_latency: Direction | None
    file_bytes: tuple[int, int]


def compare(a: Results, b: Results, force: bool = False, predictions: Pair | None = None) -> str:
    """Markdown that sets run ``b`` against run ``a``, variant by variant; see ``compared``.

    Raises:
        UsageError: the runs come from unlike machines or other data.
    """
    shared = [_cells(item) for item in compared(a, b, force, predictions)]
    warnings = [f"warning: not a fair comparison: {escaped(obstacle)}" for obstacle in _obstacles(a, b)]
    table = markdown_table(HEADERS, shared, HEADERS) if shared else "The runs have no variant in common."
    first, second = _by_key(a), _by_key(b)
    only = [*_only("first", first, second), *_only("second", second, first)]
    return "\n\n".join([_title(a, b), *warnings, *_notes(a, b), table, *_legend(a, b), *only]) + "\n"


def compared(a: Results, b: Results, force: bool = False, predictions: Pair | None = None) -> list[Compared]:
    """Every variant that both runs have, by recipe, format and runtime, in the first run's order.

    Without the answers of both runs to the same images, a difference is named only where the two 95 %
    intervals do not overlap, which is stricter than a paired test. Latency has no pairs: the runs did
    not share sittings.

    Args:
        force: compare unlike machines or data all the same.
        predictions: of either run, where they are known; differences of top-1 are then paired.

    Raises:
        UsageError: the runs come from unlike machines or other data.
    """
    obstacles = _obstacles(a, b)
    if obstacles and not force:
        raise UsageError(
            f"these runs cannot be compared: {'; '.join(obstacles)}", "run both on one machine, or add --force"
        )
    first, second = _by_key(a), _by_key(b)
    shared = [(first[key], second[key]) for key in first if key in second]
    paired = _paired(a, b, predictions)
    return [_compared((a, b), one, other, paired.get(_key(one))) for one, other in shared]


def _compared(runs: tuple[Results, Results], a: Variant, b: Variant, paired: Difference | None) -> Compared:
    drift = max(run.conditions.drift for run in runs)
    comparable = _reference(runs[0]) == _reference(runs[1]) != _key(a)
    one, other = a.latency, b.latency
    return Compared(
        recipe=a.recipe,
        format=a.format,
        runtime=a.runtime,
        top1=(a.top1, b.top1),
        images=(a.images, b.images),
        top1_change=b.top1.value - a.top1.value,
        paired=paired,
        accuracy=_accuracy(a.top1, b.top1, paired),
        p50_ms=(one.p50_ms, other.p50_ms),
        speed=one.p50_ms.value / other.p50_ms.value if other.p50_ms.value else None,
        latency=_direction(other.p50_ms, one.p50_ms, drift),
        ratio=(one.ratio, other.ratio),
        relative_speed=other.ratio.value / one.ratio.value if comparable and one.ratio.value else None,
        relative_latency=_direction(one.ratio, other.ratio) if comparable else None,
        file_bytes=(a.file_bytes, b.file_bytes),
    )


def _direction(low: Interval, high: Interval, drift: float = 1.0) -> Direction:
    """Faster where ``high`` lies above ``low``, their intervals part, and by more than a drift explains."""
    smaller, larger = sorted((low, high), key=lambda interval: interval.value)
    if words.overlap(low, high) or larger.value <= drift * smaller.value:
        return NO_DIFFERENCE
    return "faster" if high.value > low.value else "slower"


def _accuracy(a: Interval, b: Interval, paired: Difference | None) -> Literal["better", "worse", "no difference shown"]:
    if paired.p_value >= SIGNIFICANT if paired else words.overlap(a, b):
        return NO_DIFFERENCE
    change = paired.difference.value if paired else b.value - a.value
    return "better" if change > 0 else "worse"


def _paired(a: Results, b: Results, predictions: Pair | None) -> dict[Key, Difference]:
    """By variant, where both runs answered the same images and say what."""
    from pipeline.measure.statistics import paired_difference

    one, other = predictions or (None, None)
    if one is None or other is None or a.data_digest != b.data_digest or not _same_images(one, other):
        return {}
    places = {_key(variant): place for place, variant in enumerate(b.variants)}
    return {
        key: paired_difference(one.right_N(place), other.right_N(places[key]))
        for place, key in enumerate(map(_key, a.variants))
        if key in places and place < len(one.top1_VN) and places[key] < len(other.top1_VN)
    }


def _same_images(one: Predictions, other: Predictions) -> bool:
    import numpy as np

    return bool(np.array_equal(one.labels_N, other.labels_N))


def _obstacles(a: Results, b: Results) -> list[str]:
    cpus = [words.plain(str(run.machine.get("cpu", "unknown"))) for run in (a, b)]
    digests = [words.plain(run.data_digest) for run in (a, b)]
    found = {"measured on unlike processors": cpus, "tested on other data": digests}
    return [f"{what} ({one} and {other})" for what, (one, other) in found.items() if one != other]


def _title(a: Results, b: Results) -> str:
    runs = [f"{escaped(run.study)} of {escaped(run.created)}" for run in (a, b)]
    return f"{runs[0]} → {runs[1]}"


def _notes(a: Results, b: Results) -> list[str]:
    """What was wrong with a run, and what else changed between them and may be the reason for a difference."""
    unstable = [
        f"warning: the {which} run is unstable: {'; '.join(map(escaped, run.conditions.unstable))}"
        for which, run in (("first", a), ("second", b))
        if run.conditions.unstable
    ]
    changes = [*_changes(a.versions, b.versions), *_changes(a.benchmark, b.benchmark)]
    return [*unstable, f"Also changed: {', '.join(changes)}."] if changes else unstable


def _changes(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    pairs = {key: (words.value(a.get(key)), words.value(b.get(key))) for key in sorted({*a, *b})}
    return [f"{escaped(key)} {escaped(one)} → {escaped(other)}" for key, (one, other) in pairs.items() if one != other]


def _legend(a: Results, b: Results) -> list[str]:
    drift = words.multiple(max(a.conditions.drift, b.conditions.drift))
    said = [f"While a run was measured, its milliseconds drifted by up to {drift}: a smaller difference shows nothing."]
    if _reference(a) == _reference(b):
        said.append("Speed against each run's own reference does not move with drift.")
    return [" ".join(said)]


def _reference(results: Results) -> Key | None:
    return _key(results.variants[results.reference]) if results.variants else None


def _key(variant: Variant) -> Key:
    return variant.recipe, variant.format, variant.runtime


def _by_key(results: Results) -> dict[Key, Variant]:
    return {_key(variant): variant for variant in results.variants}


def _cells(item: Compared) -> tuple[str, ...]:
    one, other = item.top1
    return (
        escaped(item.recipe),
        f"{escaped(item.runtime)} ({escaped(item.format)})",
        f"{words.percent(one.value, item.images[0])} → {words.percent(other.value, item.images[1])}",
        _points(item),
        " → ".join(words.significant(p50.value) for p50 in item.p50_ms),
        _said("—" if item.speed is None else words.multiple(item.speed), item.latency),
        _relative(item),
        _size(*item.file_bytes),
    )


def _points(item: Compared) -> str:
    images = min(item.images)
    if item.paired is None:
        shown = item.accuracy != NO_DIFFERENCE
        return f"{words.percent(item.top1_change, images, sign=True)} points" if shown else NO_DIFFERENCE
    paired = item.paired.difference
    bounds = words.bounds(paired, words.percent_places(images), scale=100, sign=True)
    text = f"{words.percent(paired.value, images, sign=True)} {bounds}, {words.probability(item.paired.p_value)}"
    return f"{text}, {NO_DIFFERENCE}" if item.accuracy == NO_DIFFERENCE else text


def _relative(item: Compared) -> str:
    if item.relative_speed is None or item.relative_latency is None:
        return "—"
    return _said(" → ".join(words.multiple(ratio.value) for ratio in item.ratio), item.relative_latency)


def _said(speed: str, direction: Direction) -> str:
    return f"{speed}, {direction}" if direction == NO_DIFFERENCE else f"{speed} {direction}"


def _size(a: int, b: int) -> str:
    return f"{words.size(a)}, same" if a == b else f"{words.size(a)} → {words.size(b)}"


def _only(which: str, here: Mapping[Key, Variant], there: Mapping[Key, Variant]) -> list[str]:
    missing = [variant for key, variant in here.items() if key not in there]
    names = [f"{escaped(v.recipe)} · {escaped(v.runtime)} ({escaped(v.format)})" for v in missing]
    return [f"Only in the {which} run: {', '.join(names)}."] if names else []
