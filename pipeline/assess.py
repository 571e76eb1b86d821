"""Artifacts into answers: parity of each on each runtime, then every validation and test image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import Artifact
from pipeline.execute import Workshop
from pipeline.measure.parity import ask
from pipeline.measure.size import compressed_bytes
from pipeline.plan import Step
from pipeline.results import Parity
from pipeline.runtime import Runtime
from pipeline.spec import key_of
from pipeline.stage import ARTIFACT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
        key: of its answers. model_key: of the model that the file was exported from; "" where there is none.
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
    own = key_of([step.key, runtime.describe(), runtime.releases(), FACTS])
    manifest = artifact.manifest
    label = f"{manifest.recipe} · {manifest.format} on {runtime.kind}"

    def make() -> tuple[Arrays, Mapping[str, Any]]:
        splits = shop.data.splits.validation, shop.data.test
        parity, (validation, test) = shop.aside.do(ask, runtime, artifact, shop.threads, splits)
        facts = parity.model_dump(), sum(map(compressed_bytes, artifact.files))
        return Arrays({"validation_NK": validation, "test_NK": test}), dict(zip(FACTS, facts, strict=True))

    entry = shop.cached(own, label, manifest.recipe, make)
    arrays = Arrays.load(entry.folder).named
    parity = Parity.model_validate(entry.facts["parity"])
    logits = arrays["validation_NK"], arrays["test_NK"]
    model_key = "" if ARTIFACT in step.stage.takes else step.before
    return Answered(artifact, runtime, own, model_key, parity, *logits, entry.facts["compressed_bytes"])
