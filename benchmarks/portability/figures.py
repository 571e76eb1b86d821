"""What is promised of portable files, and what they cost where nothing saturates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figure import Figure
from benchmarks.portability.ask import ask
from benchmarks.portability.cases import FLOAT, IMAGES, LABELS, PLAIN, PORTABLE, TRAINED
from benchmarks.portability.processors import AARCH64, PROCESSORS, REFERENCE, X86_64
from benchmarks.portability.record import Row
from pipeline.measure.statistics import paired_difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.results import Interval

EMULATED = tuple(one for one in PROCESSORS if one.model)
OLDER_X86 = {one.name for one in EMULATED if one.architecture == X86_64 and not one.settings}
TOLD_TO_BE_EXACT = {one.name for one in EMULATED if one.settings}
ARM = {one.name for one in EMULATED if one.architecture == AARCH64}
MOST_LOST = 0.5  # points of top-1
# Saturated sums are off by much: a processor on which plain files move less does not saturate, and shows nothing.
LEAST_MOVED = 0.01


def figures_of(rows: Sequence[Row]) -> Iterator[Figure]:
    """The largest difference of a logit, by network, file and kind of processor, of those that were asked.

    It is infinite where one could not be asked. Plain files must differ where sums saturate, or nothing is shown.
    """
    groups = (
        (PORTABLE, OLDER_X86, "x86 without VNNI", 0.0),
        (PORTABLE, ARM, "ARM", 0.0),
        (PLAIN, ARM, "ARM", 0.0),
        (PLAIN, TOLD_TO_BE_EXACT, "x86 without VNNI, told to be exact", 0.0),
        (PLAIN, OLDER_X86, "x86 without VNNI, which saturates", LEAST_MOVED),
    )
    for network in dict.fromkeys(row.network for row in rows):
        for file, processors, where, bound in groups:
            found = [row for row in rows if (row.network, row.file) == (network, file) and row.processor in processors]
            if found:
                largest = max(row.parity.max_difference if row.parity else math.inf for row in found)
                yield Figure(f"{network}, {file}: largest Δ logit, {where}", largest, bound, at_least=bound > 0)


def cost(work: Path) -> Iterator[Figure]:
    """Points of top-1 that portable files lose on this machine, on all labelled images."""
    for network in TRAINED:
        right = {file: _right(work / network, file) for file in (FLOAT, PLAIN, PORTABLE)}
        images = len(right[FLOAT])
        for file, other in ((PORTABLE, FLOAT), (PORTABLE, PLAIN)):
            lost = paired_difference(right[other], right[file]).difference
            title = f"{network}: points that {file} loses to {other} {_interval(lost)}, {images} images"
            yield Figure(title, -100 * lost.value, MOST_LOST)


def _interval(lost: Interval) -> str:
    return f"[{-100 * lost.high:.2f}, {-100 * lost.low:.2f}]"


def _right(folder: Path, file: str) -> NDArray[np.bool_]:
    import numpy as np

    found = ask(REFERENCE, folder / f"{file}.onnx", folder / IMAGES)
    right_N: NDArray[np.bool_] = found.logits_NK.argmax(axis=1) == np.load(folder / LABELS)
    return right_N
