"""``results.csv``: one row a variant, raw numbers, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from pipeline.results import Footprint, Interval, Limit, Results, Variant

Cell = str | int | float | bool | None

# A spreadsheet takes a cell that begins so for a formula, and would run it.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(results: Results) -> str:
    """Comma-separated values as RFC 4180 has them: a header whose names end in units, then a row a variant.

    Numbers are written as they are in the results: ratios in [0, 1], bytes, milliseconds. What was not
    measured is empty. Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    table = [_row(results, index, variant) for index, variant in enumerate(results.variants)]
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(table[0] if table else ())
    writer.writerows([_written(cell) for cell in row.values()] for row in table)
    return stream.getvalue()


def _written(cell: Cell) -> str:
    if isinstance(cell, str):
        return f"'{cell}" if cell.startswith(FORMULA) else cell
    if isinstance(cell, bool):
        return str(cell).lower()
    return "" if cell is None else repr(cell)


def _row(results: Results, index: int, variant: Variant) -> dict[str, Cell]:
    return {
        "number": index + 1,
        "recipe": variant.recipe,
        "format": variant.format,
        "runtime": variant.runtime,
        "precision": "int8" if variant.integer else "float",
        "recommended": index == results.recommendation.variant,
        "reference": index == results.reference,
        "on_front": variant.on_front,
        "within_budget": variant.within_budget,
        **_accuracy(variant),
        **_latency(variant),
        **_size(variant),
        **_footprint(variant.footprint),
        **_limit(variant.limit),
        "energy_mj": variant.energy_mj,
        **{f"parity_{name}": value for name, value in variant.parity.model_dump().items()},
        "note": variant.note,
        "folder": variant.folder,
    }


def _accuracy(variant: Variant) -> Mapping[str, Cell]:
    versus = variant.versus_reference
    return {
        **_interval("top1", variant.top1),
        "correct": variant.correct,
        "images": variant.images,
        "validation_top1": variant.validation_top1,
        **_interval("top5", variant.top5),
        "calibration_error": variant.calibration_error,
        "agreement": variant.agreement,
        **_interval("top1_difference", versus.difference),
        "p_value": versus.p_value,
        "only_reference": versus.only_reference,
        "only_variant": versus.only_variant,
    }


def _latency(variant: Variant) -> Mapping[str, Cell]:
    latency = variant.latency
    return {
        **_interval("p50", latency.p50_ms, "_ms"),
        **_interval("p90", latency.p90_ms, "_ms"),
        **_interval("p99", latency.p99_ms, "_ms"),
        **_interval("mean", latency.mean_ms, "_ms"),
        **_interval("speed", latency.ratio, "_ratio"),
        "verdict": latency.verdict,
        "calls": latency.calls,
        "openings": latency.openings,
        "warm_up_calls": latency.warm_up_calls,
        "parent": variant.parent,
        **_interval("speed_versus_parent", variant.versus_parent, "_ratio"),
    }


def _size(variant: Variant) -> Mapping[str, Cell]:
    return {
        "file_bytes": variant.file_bytes,
        "compressed_bytes": variant.compressed_bytes,
        "params": variant.params,
        "macs": variant.macs,
    }


def _footprint(footprint: Footprint | None) -> Mapping[str, Cell]:
    return {
        **_interval("cold_start", footprint.cold_start_ms if footprint else None, "_ms"),
        **_interval("load", footprint.load_ms if footprint else None, "_ms"),
        **_interval("first_answer", footprint.first_ms if footprint else None, "_ms"),
        "peak_bytes": footprint.peak_bytes if footprint else None,
        "grown_bytes": footprint.grown_bytes if footprint else None,
    }


def _limit(limit: Limit | None) -> Mapping[str, Cell]:
    return {
        "floor_ms": limit.floor_ms if limit else None,
        "floor_bound": limit.bound if limit else None,
        "share_of_limit": limit.share if limit else None,
    }


def _interval(name: str, interval: Interval | None, unit: str = "") -> Mapping[str, Cell]:
    """Three cells; the same header whether it was measured or not."""
    value, low, high = (interval.value, interval.low, interval.high) if interval else (None, None, None)
    return {f"{name}{unit}": value, f"{name}_low{unit}": low, f"{name}_high{unit}": high}
