"""What ``edgewright explain`` found, as text."""

from __future__ import annotations

from pipeline.explain import Explanation, Operator
from pipeline.report import words
from pipeline.report.tables import escaped, markdown_table

HEADERS = ("operator", "kernel", "numbers", "ms", "time %", "signal/noise dB")
LEFT = ("operator", "kernel", "numbers")
MOST = 30


def text(found: Explanation) -> str:
    """Verdict, float islands, and the operators that take most time, in the order they run."""
    slowest = sorted(found.operators, key=lambda one: -one.share)[:MOST]
    shown = [one for one in found.operators if one in slowest]
    rest = len(found.operators) - len(shown)
    parts = [found.verdict, *_islands(found), markdown_table(HEADERS, [_cells(one) for one in shown], LEFT)]
    if rest:
        share = 100 * sum(one.share for one in found.operators if one not in slowest)
        parts.append(f"{rest} quicker operators take {share:.1f} % of the time; --json has them all.")
    parts.append(_legend(found))
    return "\n\n".join([*parts, *(f"UNSTABLE: {reason}" for reason in found.conditions.unstable)])


def _islands(found: Explanation) -> list[str]:
    if not found.islands:
        return ["No float islands: between the image and the logits everything is integer."]
    lines = [
        f"- {100 * one.share:.1f} % of the time: {', '.join(map(escaped, one.operators)) or 'quantized again'} "
        f"({escaped(one.names[0])}{' …' * (len(one.names) > 1)}): {one.reason}"
        for one in found.islands
    ]
    return ["Float islands:\n" + "\n".join(lines)]


def _cells(one: Operator) -> list[str]:
    noise = "—" if one.sqnr_db is None else words.fixed(one.sqnr_db, 1)
    numbers = "integer" if one.integer else "float"
    share = words.fixed(100 * one.share, 1)
    return [escaped(one.name), escaped(one.kernel), numbers, words.significant(one.ms), share, noise]


def _legend(found: Explanation) -> str:
    images = "the probe's images" if found.images == "probe" else "noise images, as the file brings none"
    return (
        f"Compared with {escaped(found.compared)}, in the same sittings. Time is from ONNX Runtime's own profile. "
        f"Noise is that of rounded activations, on {images}; what rounding the weights cost cannot be seen in the file."
    )
