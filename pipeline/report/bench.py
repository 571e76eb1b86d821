"""What ``edgewright bench`` found, as a table."""

from __future__ import annotations

from pipeline.bench import Bench, Benched
from pipeline.report import words
from pipeline.report.tables import escaped, markdown_table

HEADERS = ("file", "runtime", "threads", "images", "p50 ms", "p90 ms", "p99 ms", "speed", "images/s", "file size")
START = ("cold start", "peak memory")
LEFT = ("file", "runtime")


def table(bench: Bench) -> str:
    """Markdown: a row a case, ratios to the first; below it what else a reader should know."""
    starts = any(row.footprint for row in bench.rows)
    body = [[*_cells(row), *(_start(row) if starts else ())] for row in bench.rows]
    first = bench.rows[0]
    against = f"{escaped(first.file)} on {first.runtime}"
    legend = f"Brackets hold 95 % intervals; speed is against {against}, in the same sittings."
    failures = [f"Not measured: {escaped(one.file)} on {one.runtime}: {escaped(one.reason)}" for one in bench.failures]
    lines = [markdown_table((*HEADERS, *(START if starts else ())), body, LEFT), legend, _conditions(bench)]
    return "\n\n".join([*lines, *_unknown(bench), *failures])


def _cells(row: Benched) -> list[str]:
    latency = row.latency
    p50 = (
        f"{words.significant(latency.p50_ms.value)} {words.bounds(latency.p50_ms, words.places(latency.p50_ms.value))}"
    )
    tail = [words.significant(latency.p90_ms.value), words.significant(latency.p99_ms.value)]
    return [
        *(escaped(row.file), row.runtime, str(row.threads), str(row.batch)),
        *(p50, *tail, _speed(row), words.significant(row.images_per_s), words.size(row.file_bytes)),
    ]


def _speed(row: Benched) -> str:
    ratio, verdict = row.latency.ratio, row.latency.verdict
    if verdict == "reference":
        return verdict
    return f"{words.multiple(ratio.value)} {words.bounds(ratio, words.multiple_places(ratio.value))} {verdict}"


def _start(row: Benched) -> list[str]:
    if row.footprint is None:
        return ["", ""]
    return [words.duration(row.footprint.cold_start_ms.value / 1e3), words.size(row.footprint.peak_bytes)]


def _unknown(bench: Bench) -> list[str]:
    """Of which runtimes it is not known how they start, though it was asked."""
    runtimes = dict.fromkeys(row.runtime for row in bench.rows if row.footprint is None)
    asked = bench.benchmark["cold_starts"]
    return (
        [f"Not measured: cold start and memory of {', '.join(runtimes)}, a program of its own."]
        if asked and runtimes
        else []
    )


def _conditions(bench: Bench) -> str:
    seen = bench.conditions
    took, reached = words.duration(seen.seconds), f"every ratio to ±{100 * seen.precision:.1f} %"
    unstable = [f"UNSTABLE: {reason}" for reason in seen.unstable]
    return "\n\n".join([*unstable, f"{seen.sittings} sittings in {took}, {reached}; energy {seen.energy}."])
