"""Tables generated from committed results: ``python -m benchmarks.tables`` writes them.

``results/README.md`` gets every run; the top-level README gets the ONNX Runtime rows of the
quickstart, between two markers. A test holds both to the committed JSON.
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.machine import RESULTS_ROOT
from benchmarks.peers import record
from benchmarks.portability import record as portability
from pipeline.report.tables import markdown, markdown_table
from pipeline.results import RESULTS, Results, read_results

ROOT = RESULTS_ROOT.parent.parent
README = ROOT / "README.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def quickstart_results() -> Path:
    """The committed results of the quickstart that the README shows."""
    return sorted(RESULTS_ROOT.glob(f"*/quickstart-{RESULTS}"))[0]


def readme_table() -> str:
    """The ONNX Runtime rows, and what to ship."""
    results = read_results(quickstart_results())
    return f"{markdown(on_runtime(results, 'onnxruntime'))}\n\n> {results.recommendation.sentence}"


def on_runtime(results: Results, runtime: str) -> Results:
    """The same results with the variants of one runtime alone."""
    kept = [index for index, variant in enumerate(results.variants) if variant.runtime == runtime]
    chosen = results.recommendation.variant
    moved = kept.index(chosen) if chosen in kept else None
    return results.model_copy(
        update={
            "variants": tuple(results.variants[index] for index in kept),
            "reference": kept.index(results.reference),
            "recommendation": results.recommendation.model_copy(update={"variant": moved}),
        }
    )


def with_table(readme: str) -> str:
    """The README's text with the table between its markers made anew."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{readme_table()}\n{END}{after}"


def results_page() -> str:
    """``results/README.md``: the figures and the whole table of each machine's runs."""
    parts = ["# Results", "", "Generated from the JSON in this folder by `python -m benchmarks.tables`."]
    for path in sorted(RESULTS_ROOT.glob("*/*.json")):
        parts += ["", f"## {path.parent.name}: {path.stem}", "", shown(path)]
    return "\n".join(parts) + "\n"


def shown(path: Path) -> str:
    """A committed record as Markdown, by what it is a record of."""
    if path.name == portability.NAME:
        return portability.markdown(portability.read(path))
    if path.name.startswith(record.BEGINNING):
        return record.markdown(record.read(path))
    return markdown(read_results(path)) if path.name.endswith(RESULTS) else figures(path)


def figures(path: Path) -> str:
    """A record of promises as a table."""
    kept = json.loads(path.read_text())
    rows = [
        [
            f["name"],
            f"{f['value']:.2f}",
            f"{'≥' if f['at_least'] else '≤'} {f['bound']:g}",
            "yes" if f["kept"] else "NO",
        ]
        for f in kept["figures"]
    ]
    return f"`{kept['command']}`\n\n{markdown_table(['figure', 'measured', 'promised', 'kept'], rows, ['figure'])}"


def write_tables() -> None:
    """Both pages, from what is committed."""
    (RESULTS_ROOT / "README.md").write_text(results_page())
    README.write_text(with_table(README.read_text()))


if __name__ == "__main__":
    write_tables()
