"""Whether a hand-off kept the answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.artifact import Artifact
from pipeline.dataset import Samples
from pipeline.errors import ParityMiss
from pipeline.measure.accuracy import answers
from pipeline.measure.statistics import sqnr_db
from pipeline.results import Parity
from pipeline.runtime import Runtime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

# Float: rounding of another summation order, relative to the largest logit.
FLOAT_TOLERANCE = 1e-3
# Int8: a value near the middle of two steps may round to either one, so single logits move.
INT8_AGREEMENT = 0.95
# Two standard deviations of the difference between two logits, each off by the same noise.
TIE = 2 * 2**0.5
INT8_SQNR_DB = 20.0


def compare_logits(expected_NK: NDArray[np.float32], actual_NK: NDArray[np.float32]) -> Parity:
    """Differences between two answers for the same images.

    Raises:
        ParityMiss: they cannot be compared: an answer is NaN or infinite, or of another shape.
    """
    import numpy as np

    if expected_NK.shape != actual_NK.shape:
        raise ParityMiss(f"the answers have shape {actual_NK.shape}; wanted {expected_NK.shape}")
    if not (np.isfinite(expected_NK).all() and np.isfinite(actual_NK).all()):
        raise ParityMiss("some answers are NaN or infinite", "run `edgewright doctor`")
    expected, actual = expected_NK.astype(np.float64), actual_NK.astype(np.float64)
    noise = float(np.sum((expected - actual) ** 2))
    signal = float(np.sum(expected**2))
    images_N, classes_N = np.arange(len(expected)), actual.argmax(1)
    lead_N = expected.max(1) - expected[images_N, classes_N]  # 0 where the class is the same
    return Parity(
        images=len(expected),
        max_difference=float(np.max(np.abs(expected - actual))),
        scale=float(np.max(np.abs(expected))),
        agreement=float(np.mean(expected.argmax(1) == classes_N)),
        ties=float(np.mean((expected.argmax(1) != classes_N) & (lead_N <= TIE * (noise / expected.size) ** 0.5))),
        sqnr_db=sqnr_db(signal, noise),
    )


def check_parity(parity: Parity, integer: bool, where: str) -> None:
    """Stop a recipe whose hand-off changed the answers; int8 may decide ties either way.

    Raises:
        ParityMiss: names the hand-off and by how much it missed.
    """
    if integer:
        good = parity.agreement + parity.ties >= INT8_AGREEMENT and parity.sqnr_db >= INT8_SQNR_DB
        wanted = f"top-1 agreement of {INT8_AGREEMENT:.0%}, ties aside, and {INT8_SQNR_DB:g} dB"
    else:
        good = parity.max_difference <= FLOAT_TOLERANCE * max(1.0, parity.scale)
        wanted = f"differences of at most {FLOAT_TOLERANCE * max(1.0, parity.scale):.2g}"
    if not good:
        found = (
            f"{parity.agreement:.1%} agreement, {parity.sqnr_db:g} dB, largest difference {parity.max_difference:.3g}"
        )
        raise ParityMiss(f"{where} changed the answers: {found}; wanted {wanted}", "run `edgewright doctor`")


def ask(
    runtime: Runtime, artifact: Artifact, threads: int, splits: Sequence[Samples]
) -> tuple[Parity, list[NDArray[np.float32]]]:
    """In the process aside: parity on the probe, then the answers for each split."""
    session, manifest = runtime.open(artifact, threads), artifact.manifest
    parity = probe_parity(artifact, session)
    check_parity(parity, manifest.integer, runtime.kind)
    return parity, [answers(session, split.normalized_as(manifest.input), manifest.batch) for split in splits]


def probe_parity(artifact: Artifact, session: Session) -> Parity:
    """A session's answers against those the artifact brought with it."""
    import numpy as np

    probe = artifact.probe()
    x_NCHW = artifact.manifest.input.normalize(probe.fitted_NHWC)
    step = artifact.manifest.batch or len(x_NCHW)
    actual = np.concatenate([session(x_NCHW[i : i + step]) for i in range(0, len(x_NCHW), step)])
    return compare_logits(probe.logits_NK, actual)
