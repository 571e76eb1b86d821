"""What stages tried before they decided: a picture and a table of each search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.report import words
from pipeline.report.plots import COLORS, SETTINGS, SIZE_INCHES
from pipeline.report.svg import INK, QUIET, finished
from pipeline.results import Interval, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACT = "search"


class Tried(NamedTuple):
    """One combination. mark: whether it was chosen, is on the front, or keeps the limit."""

    number: int
    label: str
    loss: str
    speed: str
    mark: str


class Search(NamedTuple):
    """One stage's. picture: an SVG, escaped already."""

    title: str
    picture: str
    alternative: str
    table: list[Tried]


def searches(results: Results, prefix: str) -> list[Search]:
    """Of every stage of the run that told one. prefix: begins the ids of the pictures."""
    from markupsafe import Markup

    found = []
    for number, stage in enumerate(results.stages):
        if (facts := stage.facts.get(FACT)) is not None:
            words_ = _alternative(facts)
            picture = Markup(_picture(facts, f"{prefix}search-{number}-", words_))  # noqa: S704  escaped already
            table = [_row(place, entry) for place, entry in enumerate(facts["tried"], 1)]
            found.append(Search(words.plain(stage.label), picture, words_, table))
    return found


def _row(number: int, entry: Mapping[str, Any]) -> Tried:
    label = words.plain(entry["label"])
    if entry["loss"] is None:
        return Tried(number, label, "—", "—", words.plain(entry["failure"]))
    loss, speed = (Interval.model_validate(entry[name]) for name in ("loss", "speed"))
    marks = [name for name, key in (("chosen", "chosen"), ("Pareto front", "on_front")) if entry[key]]
    kept = "within the limit" if entry["within"] else "loses too much"
    points = f"{100 * loss.value:.1f} [{100 * loss.low:.1f}, {100 * loss.high:.1f}]".replace("-", "−")
    places = words.multiple_places(speed.value)
    return Tried(
        number, label, points, f"{words.multiple(speed.value)} {words.bounds(speed, places)}", ", ".join([kept, *marks])
    )


def _alternative(facts: Mapping[str, Any]) -> str:
    """The picture in words."""
    tried = _measured(facts)
    chosen = [words.plain(entry["label"]) for entry in tried if entry["chosen"]]
    taken = f"Chosen: {chosen[0]}." if chosen else "None was chosen."
    front = "; ".join(words.plain(entry["label"]) for entry in sorted(tried, key=_share) if entry["on_front"])
    return (
        f"Top-1 lost against the share of latency of {len(tried)} combinations. On the Pareto front: {front}. {taken}"
    )


def _picture(facts: Mapping[str, Any], prefix: str, label: str) -> str:
    """Share of the given model's latency across, points of top-1 lost up, reversed: better is up and left."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes, tried = figure.add_subplot(), _measured(facts)
        axes.set_xlabel("share of the given model's latency, % (left is faster)")
        axes.set_ylabel("top-1 against the given model on validation images, points")
        axes.grid(color=QUIET, alpha=0.16, linewidth=0.6)
        axes.axhline(-100 * facts["max_drop"], color=INK, linestyle=(0, (5, 4)), linewidth=1, alpha=0.8)
        _front(axes, [entry for entry in tried if entry["on_front"]])
        for number, entry in enumerate(facts["tried"], 1):
            if entry in tried:
                _point(axes, entry, f"tried-{number}")
        titles = {f"tried-{number}": words.plain(entry["label"]) for number, entry in enumerate(facts["tried"], 1)}
        return finished(figure, prefix=prefix, label=label, titles=titles)


def _front(axes: Axes, entries: Sequence[Mapping[str, Any]]) -> None:
    ordered = sorted(entries, key=_share)
    x, y = [_share(entry) for entry in ordered], [_gain(entry) for entry in ordered]
    axes.plot(x, y, drawstyle="steps-post", color=INK, linewidth=1.2, alpha=0.7, gid="front")


def _point(axes: Axes, entry: Mapping[str, Any], gid: str) -> None:
    """Filled for int8; a ring around what was chosen; a line for the interval of the loss."""
    x, y, color = _share(entry), _gain(entry), COLORS[0]
    face = "none" if entry["combination"]["quantization"] == "none" else color
    bounds = [-100 * entry["loss"][name] for name in ("high", "low")]
    axes.plot([x, x], bounds, color=color, linewidth=0.9, alpha=0.5)
    axes.plot(x, y, marker="o", color=color, markerfacecolor=face, gid=gid, zorder=3)
    if entry["chosen"]:
        axes.plot(x, y, marker="o", markersize=15, color=INK, markerfacecolor="none", zorder=4)


def _measured(facts: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in facts["tried"] if entry["loss"] is not None]


def _share(entry: Mapping[str, Any]) -> float:
    return 100 / float(entry["speed"]["value"])


def _gain(entry: Mapping[str, Any]) -> float:
    return -100 * float(entry["loss"]["value"])
