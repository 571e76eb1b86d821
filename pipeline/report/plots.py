"""The Pareto picture: accuracy against latency, as SVG text for light and dark pages."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pipeline.report import words
from pipeline.report.svg import INK, QUIET, finished
from pipeline.results import Results, Variant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A contrast of at least 3 to white and to near-black. The shape says the same as the colour.
COLORS = ("#2f7fc8", "#c9661a", "#2b9464", "#9b63d3", "#d24c48", "#1c8f9e", "#cf4c93", "#86811c")
SHAPES = ("o", "s", "D", "^", "v", "P", "X")
SIZE_INCHES = (4.7, 4.3)
TITLE_LENGTH, LABEL_LENGTH = 27, 18
CROWD = 40
NEAR_POINTS = 5.0
SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pareto",
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def pareto(results: Results, prefix: str = "pareto-") -> str:
    """An SVG of every variant: p50 in milliseconds (log axis) across, top-1 in per cent up.

    Its lines take the colour of the text around it. Points on the front carry their number in
    the table; every point names its variant when pointed at. What belongs to a variant has an id
    that ends in its number, so that a page can hide it; ``prefix`` begins every id.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):  # type: ignore[arg-type]
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        for draw in (_axes, _budget, _front, _intervals, _points, _numbers, _recommended):
            draw(axes, results)
        _legend(figure, results)
        titles = {_gid(number): _hover(variant) for number, variant in enumerate(results.variants, start=1)}
        return finished(figure, prefix=prefix, label=alternative(results), titles=titles)


def alternative(results: Results) -> str:
    """The picture in words."""
    front = ", then ".join(_hover(variant) for variant in _on_front(results))
    chosen, what = results.recommendation.variant, "Top-1 accuracy" if results.labelled else "Agreement"
    parts = [
        f"{what} against p50 latency of {len(results.variants)} variants.",
        f"On the Pareto front, fastest first: {front}." if front else "No variant is on the Pareto front.",
        "None is recommended." if chosen is None else f"Recommended: {_name(results.variants[chosen])}.",
        f"The accuracy budget allows {words.fixed(100 * _lowest(results), 1)} % and above.",
    ]
    return " ".join(parts)


def _axes(axes: Axes, results: Results) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    latencies = [variant.latency.p50_ms.value for variant in results.variants]
    # Over less than a factor of five, powers of ten and their halves leave no tick in sight.
    wide = max(latencies) > 5 * min(latencies)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if wide else MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda latency, _: f"{latency:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("p50 latency of one image, ms (log scale; left is faster)")
    axes.set_ylabel(f"{results.judged_by} on the test images, %")
    axes.grid(color=QUIET, alpha=0.16, linewidth=0.6)
    axes.margins(x=0.08, y=0.08)


def _budget(axes: Axes, results: Results) -> None:
    lowest, limit = 100 * _lowest(results), results.budget.max_latency_ms
    slowest = max(variant.latency.p50_ms.value for variant in results.variants)
    line: dict[str, Any] = {"color": INK, "linewidth": 1, "alpha": 0.8, "zorder": 1}
    tops = [100 * variant.top1.value for variant in results.variants]
    # A limit far below would press all points against the upper edge.
    if lowest >= min(tops) - max(NEAR_POINTS, 2 * (max(tops) - min(tops))):
        axes.axhline(lowest, linestyle=(0, (5, 4)), gid="budget", **line)
        text = f"budget: {words.fixed(100 * results.budget.max_drop, 1)} points below reference"
        axes.text(0.99, lowest, text, transform=axes.get_yaxis_transform(), ha="right", va="top", fontsize=8.5)
    # A limit far to the right would press all points into a corner.
    if limit is not None and limit <= 2 * slowest:
        axes.axvline(limit, linestyle=(0, (5, 4)), gid="latency-budget", **line)
        text = f"budget: {limit:g} ms"
        axes.text(limit, 0.01, text, transform=axes.get_xaxis_transform(), rotation=90, ha="right", fontsize=8.5)


def _front(axes: Axes, results: Results) -> None:
    front = _on_front(results)
    x, y = [variant.latency.p50_ms.value for variant in front], [100 * variant.top1.value for variant in front]
    axes.plot(x, y, drawstyle="steps-post", color=INK, linewidth=1.2, alpha=0.7, gid="front", zorder=2)


def _intervals(axes: Axes, results: Results) -> None:
    # A crowd of intervals would hide the points.
    alpha = 0.6 if len(results.variants) <= CROWD else 0.2
    styles = _styles(results)
    for number, variant in enumerate(results.variants, start=1):
        x, y = variant.latency.p50_ms, variant.top1
        # One line with a gap, both ways: two hundred variants should not make four hundred elements.
        across, up = [x.low, x.high, math.nan, x.value, x.value], [y.value, y.value, math.nan, y.low, y.high]
        style: dict[str, Any] = {"color": styles[variant.runtime][0], "linewidth": 0.9, "alpha": alpha, "zorder": 2.5}
        axes.plot(across, [100 * value for value in up], gid=f"interval-{number}", **style)


def _points(axes: Axes, results: Results) -> None:
    styles = _styles(results)
    for number, variant in enumerate(results.variants, start=1):
        color, shape = styles[variant.runtime]
        face = color if variant.integer else "none"
        axes.plot(*_place(variant), marker=shape, color=color, markerfacecolor=face, gid=_gid(number), zorder=3)


def _numbers(axes: Axes, results: Results) -> None:
    for number, variant in enumerate(results.variants, start=1):
        is_reference = number - 1 == results.reference
        if variant.on_front or is_reference:
            text = f"{number} reference" if is_reference else str(number)
            # Nothing lies up and to the left of the front: that would be faster and better.
            style: dict[str, Any] = {"ha": "right", "fontsize": 8.5, "gid": f"number-{number}"}
            axes.annotate(text, _place(variant), (-5, 5), textcoords="offset points", **style)


def _recommended(axes: Axes, results: Results) -> None:
    index = results.recommendation.variant
    if index is None:
        axes.set_title("nothing is recommended", loc="left")
        return
    place, name = _place(results.variants[index]), words.shortened(_name(results.variants[index]), TITLE_LENGTH)
    axes.set_title(f"recommended: {index + 1}, {name}", loc="left", parse_math=False)
    axes.plot(*place, marker="o", markersize=15, color=INK, markerfacecolor="none", gid="recommended", zorder=4)
    # Asked in display units: the axis is logarithmic.
    is_left = axes.transAxes.inverted().transform(axes.transData.transform(place))[0] < 0.5
    offset, side = (9, "left") if is_left else (-9, "right")
    style: dict[str, Any] = {"ha": side, "weight": "bold", "gid": "recommended-name"}
    axes.annotate("recommended", place, (offset, -17), textcoords="offset points", **style)


def _legend(figure: Figure, results: Results) -> None:
    from matplotlib.lines import Line2D

    def entry(label: str, **style: Any) -> Line2D:
        return Line2D([], [], label=label, **{"linestyle": "none", "color": INK, "markersize": 6, **style})

    runtimes = [
        entry(words.shortened(words.plain(runtime), LABEL_LENGTH), color=color, marker=shape)
        for runtime, (color, shape) in _styles(results).items()
    ]
    readings = [
        entry("filled: int8", marker="o"),
        entry("hollow: float", marker="o", markerfacecolor="none"),
        entry("Pareto front", linestyle="-", linewidth=1.2),
    ]
    legend = figure.legend(handles=[*runtimes, *readings], loc="outside lower center", ncols=2)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _styles(results: Results) -> dict[str, tuple[str, str]]:
    """Colour and shape by runtime, in order of first appearance."""
    runtimes = dict.fromkeys(variant.runtime for variant in results.variants)
    return {runtime: (COLORS[n % len(COLORS)], SHAPES[n % len(SHAPES)]) for n, runtime in enumerate(runtimes)}


def _on_front(results: Results) -> list[Variant]:
    front = [variant for variant in results.variants if variant.on_front]
    return sorted(front, key=lambda variant: variant.latency.p50_ms.value)


def _lowest(results: Results) -> float:
    """The smallest top-1 that the budget allows, as a fraction of 1."""
    return results.variants[results.reference].top1.value - results.budget.max_drop


def _place(variant: Variant) -> tuple[float, float]:
    return variant.latency.p50_ms.value, 100 * variant.top1.value


def _gid(number: int) -> str:
    return f"variant-{number}"


def _name(variant: Variant) -> str:
    return words.plain(variant.name)


def _hover(variant: Variant) -> str:
    top1 = words.percent(variant.top1.value, variant.images)
    return f"{_name(variant)}, {top1} % at {words.significant(variant.latency.p50_ms.value)} ms"
