"""The variants of a run as rows of text, and the rows as a table for GitHub or a terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.report import words
from pipeline.results import Failure, Interval, Latency, Results, Variant

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

NOT_APPLICABLE = "—"
MARKDOWN_SPECIAL = re.compile(r"([\\`*\[\]<>|~&]|(?<!\w)_|_(?!\w))")
HEADERS = (
    *("No.", "variant", "runtime", "top-1 %", "Δ top-1, points"),
    *("p50 ms", "p90 ms", "speed", "file", "params", "MACs"),
)
CONSOLE_HEADERS = ("#", "variant", "top-1 %", "Δ points", "p50 ms", "speed", "file")
LEFT = ("variant", "runtime")


@dataclass(frozen=True)
class Shown:
    """An estimate and, in brackets, its 95 % interval; empty where there is none."""

    value: str
    interval: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.interval}".strip()


@dataclass(frozen=True)
class Row:
    """One variant as text.

    Attributes:
        number: position in the results, from 1; the picture uses the same.
        top1: per cent. difference: to the reference, in points of per cent, paired.
        p50, p90, p99: milliseconds. speed: a multiple of the reference's, above 1 is faster.
        remark: why a compressed variant is not faster, where it is not.
    """

    number: int
    name: str
    format: str
    runtime: str
    precision: str
    top1: Shown
    difference: Shown
    p_value: str
    p50: Shown
    p90: Shown
    p99: Shown
    speed: Shown
    verdict: str
    size: str
    params: str
    macs: str
    remark: str
    recommended: bool
    on_front: bool
    reference: bool
    within_budget: bool

    @property
    def notes(self) -> tuple[str, ...]:
        """What must not be told by colour alone."""
        said = {
            "recommended": self.recommended,
            "reference": self.reference,
            "on the front": self.on_front,
            "over budget": not self.within_budget,
        }
        return tuple(note for note, holds in said.items() if holds)


def rows(results: Results) -> list[Row]:
    """One row a variant, in the order of the results."""
    return [_row(results, index, variant) for index, variant in enumerate(results.variants)]


def _row(results: Results, index: int, variant: Variant) -> Row:
    is_reference = index == results.reference
    latency = variant.latency
    return Row(
        number=index + 1,
        name=words.plain(variant.recipe),
        format=words.plain(variant.format),
        runtime=words.plain(variant.runtime),
        precision="int8" if variant.integer else "float",
        top1=_top1(variant),
        difference=Shown(NOT_APPLICABLE) if is_reference else _difference(variant),
        p_value="" if is_reference else words.probability(variant.versus_reference.p_value),
        p50=measured(latency.p50_ms),
        p90=measured(latency.p90_ms),
        p99=measured(latency.p99_ms),
        speed=Shown(NOT_APPLICABLE) if is_reference else _speed(latency),
        verdict=latency.verdict,
        size=words.size(variant.file_bytes),
        params=words.count(variant.params),
        macs=words.count(variant.macs),
        remark=words.plain(variant.note),
        recommended=index == results.recommendation.variant,
        on_front=variant.on_front,
        reference=is_reference,
        within_budget=variant.within_budget,
    )


def _top1(variant: Variant) -> Shown:
    text = words.percent(variant.top1.value, variant.images)
    return Shown(text, words.bounds(variant.top1, words.percent_places(variant.images), scale=100))


def _difference(variant: Variant) -> Shown:
    difference = variant.versus_reference.difference
    text = words.percent(difference.value, variant.images, sign=True)
    return Shown(text, words.bounds(difference, words.percent_places(variant.images), scale=100, sign=True))


def measured(interval: Interval) -> Shown:
    """Three significant digits, and bounds with as many decimals."""
    return Shown(words.significant(interval.value), words.bounds(interval, words.places(interval.value)))


def _speed(latency: Latency) -> Shown:
    decimals = words.multiple_places(latency.ratio.value)
    return Shown(words.multiple(latency.ratio.value), words.bounds(latency.ratio, decimals))


def markdown(results: Results) -> str:
    """A table for a README or a pull request, and a line that says how to read it."""
    table = rows(results)
    reference = table[results.reference]
    legend = (
        "Brackets hold 95 % intervals. Δ and speed are paired with the reference, "
        f"{escaped(reference.name)} · {escaped(reference.runtime)}: same images, same sittings; "
        "speed above 1 is faster."
    )
    remarks = [f"No. {row.number}: {escaped(row.remark)}" for row in table if row.remark]
    body = markdown_table(called(HEADERS, results), [_markdown_cells(row) for row in table], LEFT)
    return "\n\n".join([*_unstable(results), body, legend, *remarks, *_caveats(results)]) + "\n"


def called(headers: Sequence[str], results: Results) -> tuple[str, ...]:
    """Headers that call agreement by its name, where no label is known."""
    return tuple(header.replace("top-1", results.judged_by) for header in headers)


def _unstable(results: Results) -> list[str]:
    """Before the table: who reads no further should have read this."""
    reasons = "; ".join(escaped(reason) for reason in results.conditions.unstable)
    return [f"**Unstable: do not rely on these latencies.** {reasons}."] if reasons else []


def _caveats(results: Results) -> list[str]:
    failed = [f"Not measured: {escaped(unmeasured(failure))}" for failure in results.failures]
    return [*failed, *(f"Note: {escaped(warning)}" for warning in results.warnings)]


def unmeasured(failure: Failure) -> str:
    """A file that could not be measured, and why, on one line."""
    place = f" · {failure.runtime} ({failure.format})" if failure.runtime else ""
    return words.plain(f"{failure.recipe}{place}: {failure.reason}")


def _markdown_cells(row: Row) -> tuple[str, ...]:
    name = f"**{escaped(row.name)}**" if row.recommended else escaped(row.name)
    noted = f"{name} ({', '.join(row.notes)})" if row.notes else name
    runtime = f"{escaped(row.runtime)} ({escaped(row.format)}, {row.precision})"
    speed = row.verdict if row.reference else f"{row.speed} {row.verdict}"
    return (
        *(str(row.number), noted, runtime, str(row.top1), str(row.difference)),
        *(str(row.p50), row.p90.value, speed, row.size, row.params, row.macs),
    )


def escaped(name: str) -> str:
    """A name that Markdown shows as it is, also within a table.

    >>> print(escaped("a|b\\n<script>"), escaped("mobilenet_v3"))
    a\\|b \\<script\\> mobilenet_v3
    """
    return MARKDOWN_SPECIAL.sub(r"\\\1", words.plain(name))


def markdown_table(headers: Sequence[str], body: Sequence[Sequence[str]], left: Sequence[str]) -> str:
    """A GitHub table whose columns also line up as plain text; headers not in ``left`` align right."""
    widths = [max(map(len, column)) for column in zip(headers, *body, strict=True)]
    sides = ["<" if header in left else ">" for header in headers]
    rule = [f"{':':-{side}{width}}" for width, side in zip(widths, sides, strict=True)]
    padded = [
        [f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)]
        for line in (headers, *body)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], rule, *padded[1:]))


def console_table(results: Results) -> Table:
    """A table for a terminal of 100 to 120 columns; intervals stand below their estimates."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for header in called(CONSOLE_HEADERS, results):
        is_text = header in LEFT
        table.add_column(header, justify="left" if is_text else "right", no_wrap=not is_text, overflow="fold")
    for row in rows(results):
        table.add_row(*_console_cells(row), style="bold" if row.recommended else "")
    return table


def _console_cells(row: Row) -> list[Text]:
    speed = (row.verdict, "") if row.reference else (str(row.speed), row.verdict)
    return [
        _lines(str(row.number)),
        _lines(row.name, _made_for(row), ", ".join(row.notes)),
        _lines(row.top1.value, row.top1.interval),
        _lines(row.difference.value, row.difference.interval),
        _lines(row.p50.value, row.p50.interval),
        _lines(*speed),
        _lines(row.size),
    ]


def _made_for(row: Row) -> str:
    format_ = "" if row.format == row.runtime else f"{row.format}, "
    return f"{row.runtime} · {format_}{row.precision}"


def _lines(first: str, *quiet: str) -> Text:
    # A Text and not a str: rich would read [red] in a name as markup.
    from rich.text import Text

    return Text(first).append("".join(f"\n{line}" for line in quiet if line), style="dim not bold")
