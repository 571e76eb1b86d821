"""Artifacts into measurements: parity and answers of each on each runtime, then latency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import Artifact
from pipeline.execute import Workshop
from pipeline.measure.accuracy import answers
from pipeline.measure.latency import measure_latency
from pipeline.measure.machine import cpu_name, versions
from pipeline.measure.parity import check_parity, compare_logits
from pipeline.progress import shown
from pipeline.results import Parity
from pipeline.runtime import Runtime
from pipeline.spec import key_of
from pipeline.study import Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

ARRAYS = "arrays.npz"


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
        validation_NK, test_NK: float32 logits of every image of the split.
    """

    artifact: Artifact
    runtime: Runtime
    key: str
    parity: Parity
    validation_NK: NDArray[np.float32]
    test_NK: NDArray[np.float32]

    @property
    def label(self) -> str:
        return f"{self.artifact.manifest.recipe} · {self.artifact.manifest.format} on {self.runtime.kind}"


def answer(shop: Workshop, artifact: Artifact, key: str, runtime: Runtime) -> Answered:
    """Parity on the probe, then the answers for validation and test.

    Raises:
        ParityMiss: the runtime does not give the exported module's answers.
    """
    own = key_of([key, runtime.describe(), versions([runtime.package])])
    manifest = artifact.manifest
    label = f"{manifest.recipe} · {manifest.format} on {runtime.kind}"

    def make() -> tuple[Arrays, Mapping[str, Any]]:
        session = runtime.open(artifact, shop.threads)
        parity = probe_parity(artifact, session)
        check_parity(parity, manifest.integer, runtime.kind)
        splits = (shop.data.splits.validation, shop.data.test)
        validation, test = (answers(session, split.normalized_as(manifest.input), manifest.batch) for split in splits)
        return Arrays({"validation_NK": validation, "test_NK": test}), {"parity": parity.model_dump()}

    entry = shop.cached(own, label, manifest.recipe, make)
    arrays = Arrays.load(entry.folder).named
    parity = Parity.model_validate(entry.facts["parity"])
    return Answered(artifact, runtime, own, parity, arrays["validation_NK"], arrays["test_NK"])


def probe_parity(artifact: Artifact, session: Session) -> Parity:
    """A session's answers against those the artifact brought with it."""
    import numpy as np

    probe = artifact.probe()
    x_NCHW = artifact.manifest.input.normalize(probe.fitted_NHWC)
    step = artifact.manifest.batch or len(x_NCHW)
    actual = np.concatenate([session(x_NCHW[i : i + step]) for i in range(0, len(x_NCHW), step)])
    return compare_logits(probe.logits_NK, actual)


def time_all(shop: Workshop, study: Study, answered: list[Answered]) -> NDArray[np.float64]:
    """Milliseconds of every call, all variants interleaved: (rounds, variants, calls)."""
    described = study.benchmark.model_dump(mode="json")
    key = key_of([[item.key for item in answered], described, cpu_name()])

    def make() -> tuple[Arrays, Mapping[str, Any]]:
        sessions = [item.runtime.open(item.artifact, study.benchmark.threads) for item in answered]
        with shown(shop.console, "latency") as progress:
            x_1CHW = shop.data.splits.validation.x_NCHW(0, 1)
            ms_RSC = measure_latency(sessions, x_1CHW, study.benchmark, study.seed, progress)
        return Arrays({"ms_RSC": ms_RSC}), {"rounds": len(ms_RSC)}

    entry = shop.cached(key, "latency of all variants, interleaved", "", make)
    ms_RSC: NDArray[np.float64] = Arrays.load(entry.folder).named["ms_RSC"]
    return ms_RSC
