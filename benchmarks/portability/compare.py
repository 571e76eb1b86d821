"""One file on many processors, each against the same file on this machine with kernels that do not saturate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.portability.ask import Answers, ask
from benchmarks.portability.cases import Case
from benchmarks.portability.processors import REFERENCE, Processor
from benchmarks.portability.record import Row
from pipeline.errors import EdgewrightError
from pipeline.measure.parity import compare_logits
from pipeline.measure.statistics import paired_difference, wilson
from pipeline.progress import Progress, silent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def compare(case: Case, processors: Sequence[Processor], progress: Progress = silent) -> tuple[Row, ...]:
    """A row for each processor; where one cannot be asked, or dies, the row says why.

    Raises:
        ProcessorFailed: the file does not even answer here.
    """
    reference = ask(REFERENCE, case.path, case.images, progress=progress)
    return tuple(_row(case, processor, reference, progress) for processor in processors)


def _row(case: Case, processor: Processor, reference: Answers, progress: Progress) -> Row:
    names = {"network": case.network, "file": case.file, "processor": processor.name}
    try:
        found = ask(processor, case.path, case.images, progress=progress)
        parity = compare_logits(reference.logits_NK, found.logits_NK)
    except EdgewrightError as error:
        return Row(**names, failure="; ".join(error.lines()))
    return Row(
        **names,
        features=tuple(found.seen["features"]),
        onnxruntime=found.seen["onnxruntime"],
        parity=parity,
        seconds=found.seconds,
        **accuracy(case, reference.logits_NK, found.logits_NK),
    )


def accuracy(case: Case, reference_NK: NDArray[np.float32], found_NK: NDArray[np.float32]) -> dict[str, Any]:
    """Top-1 of ``found_NK`` and what it differs by; nothing where there are no labels."""
    import numpy as np

    if case.labels is None:
        return {}
    labels_N = np.load(case.labels)[: len(found_NK)]
    right_N, reference_N = (logits_NK.argmax(axis=1) == labels_N for logits_NK in (found_NK, reference_NK))
    return {
        "top1": wilson(int(right_N.sum()), len(right_N)),
        "versus_reference": paired_difference(reference_N, right_N),
    }
