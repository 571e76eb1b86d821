"""Artifacts into answers: parity of each on each runtime, then every validation and test image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import Artifact
from pipeline.dataset import Samples
from pipeline.execute import Workshop
from pipeline.measure.accuracy import answers
from pipeline.measure.machine import versions
from pipeline.measure.parity import check_parity, compare_logits
from pipeline.measure.size import compressed_bytes
from pipeline.plan import Step
from pipeline.results import Parity
from pipeline.runtime import Runtime
from pipeline.spec import key_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

ARRAYS = "arrays.npz"
# Part of the key: answers kept without one of these are asked for again.
FACTS = ("parity", "compressed_bytes")


@dataclass(frozen=True)
class Arrays:
    """Named arrays that write themselves as one npz."""

    named: Mapping[str, NDArray[Any]]

    def save(self, folder: Path) -> None:
        import numpy as np

        np.savez(folder / ARRAYS, **dict(self.named))  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path) -> Arrays:
        import numpy as np

        with np.load(folder / ARRAYS, allow_pickle=False) as arrays:
            return cls(dict(arrays))


@dataclass(frozen=True)
class Answered:
    """An artifact on a runtime, with its parity and its answers.

    Attributes:
        key: of its answers. model_key: of the model that the file was exported from.
        validation_NK, test_NK: float32 logits of every image of the split.
        compressed_bytes: of the file, as it is sent.
    """

    artifact: Artifact
    runtime: Runtime
    key: str
    model_key: str
    parity: Parity
    validation_NK: NDArray[np.float32]
    test_NK: NDArray[np.float32]
    compressed_bytes: int

    @property
    def label(self) -> str:
        return f"{self.artifact.manifest.recipe} · {self.artifact.manifest.format} on {self.runtime.kind}"


def answer(shop: Workshop, artifact: Artifact, step: Step, runtime: Runtime) -> Answered:
    """Parity on the probe, then the answers for validation and test.

    Raises:
        ParityMiss: the runtime does not give the exported module's answers.
        Crashed: it died of the file.
    """
    own = key_of([step.key, runtime.describe(), versions([runtime.package]), FACTS])
    manifest = artifact.manifest
    label = f"{manifest.recipe} · {manifest.format} on {runtime.kind}"

    def make() -> tuple[Arrays, Mapping[str, Any]]:
        splits = shop.data.splits.validation, shop.data.test
        parity, (validation, test) = shop.aside.do(ask, runtime, artifact, shop.threads, splits)
        facts = parity.model_dump(), compressed_bytes(artifact.path)
        return Arrays({"validation_NK": validation, "test_NK": test}), dict(zip(FACTS, facts, strict=True))

    entry = shop.cached(own, label, manifest.recipe, make)
    arrays = Arrays.load(entry.folder).named
    parity = Parity.model_validate(entry.facts["parity"])
    logits = arrays["validation_NK"], arrays["test_NK"]
    return Answered(artifact, runtime, own, step.before, parity, *logits, entry.facts["compressed_bytes"])


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
