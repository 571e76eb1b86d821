"""One offline HTML file: what to ship, how sure that is, and how it was made."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from pipeline.predictions import Predictions
from pipeline.report import words
from pipeline.report.resources import HEADERS
from pipeline.report.sections import Run, run_of
from pipeline.results import Results

if TYPE_CHECKING:
    from jinja2 import Environment

# In this order: a later file uses what an earlier one defines.
SCRIPTS = ("report.js", "filter.js", "picture.js", "machines.js")
STYLES = ("report.css", "parts.css")

Pair = tuple[Results, Predictions | None]


class Machine(NamedTuple):
    """One line of the overview of several machines."""

    run: Run
    chosen: str
    top1: str
    p50: str
    speed: str


def render(results: Results, predictions: Predictions | None = None, *, others: Iterable[Pair] = ()) -> str:
    """The whole report as one HTML text that loads nothing from anywhere.

    It reads on a phone, in the dark, on paper, without JavaScript and with a screen reader.

    Args:
        predictions: of ``results``; without them confusions and mistakes are left out.
        others: the same study on other machines, with or without predictions.
    """
    from markupsafe import Markup

    pairs = [(results, predictions), *others]
    names = _machine_names([one for one, _ in pairs])
    runs = [
        run_of(*pair, name=name, number=number) for number, (pair, name) in enumerate(zip(pairs, names, strict=True))
    ]
    style, script = ("\n".join(map(_text, names)) for names in (STYLES, SCRIPTS))
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            results=results,
            runs=runs,
            machines=[_machine(run) for run in runs] if len(runs) > 1 else [],
            words=words,
            resource_headers=HEADERS,
            style=Markup(style),  # noqa: S704  our own file, not escaped
            script=Markup(script),  # noqa: S704
            policy=_policy(style, script, images=any(run.accuracy.mistakes for run in runs)),
        )
    )


def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    loader = FunctionLoader(_text)
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=loader)


def _policy(style: str, script: str, images: bool) -> str:
    """Only this very style and script, and pictures only where they are within the page."""
    sources = [f"style-src '{_hash(style)}'", f"script-src '{_hash(script)}'", *(["img-src data:"] if images else [])]
    return "; ".join(["default-src 'none'", *sources, "base-uri 'none'", "form-action 'none'"])


def _machine_names(runs: Sequence[Results]) -> list[str]:
    """The processors, with the time of the run where two are alike, and a number where that does not do."""
    cpus = [words.plain(str(run.machine.get("cpu", "unknown machine"))) for run in runs]
    pairs = zip(cpus, runs, strict=True)
    named = [cpu if cpus.count(cpu) == 1 else f"{cpu}, {words.plain(run.created)}" for cpu, run in pairs]
    return [name if named.count(name) == 1 else f"{name} ({n})" for n, name in enumerate(named, start=1)]


def _machine(run: Run) -> Machine:
    if run.chosen is None:
        return Machine(run, "none", "—", "—", "—")
    row = run.chosen.row
    return Machine(run, f"{row.name} · {row.runtime}", f"{row.top1} %", f"{row.p50} ms", str(row.speed))


def _text(name: str) -> str:
    return files("pipeline.report").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The source expression by which a content policy allows exactly this inline text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
