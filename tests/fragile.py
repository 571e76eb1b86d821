"""Runtimes that only tests have, such as one that kills its process; in a file that the process can import."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.artifact import Artifact, Manifest
from pipeline.runtimes.onnx_runtime import OnnxRuntime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

PATIENCE = 5


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


class Broad(OnnxRuntime):
    """ONNX Runtime, for a format that only a test has."""

    kind: ClassVar[str] = "broad"
    formats: ClassVar[tuple[str, ...]] = ("picky",)


class Proud(OnnxRuntime):
    """ONNX Runtime, as it would be on a processor where its int8 is wrong."""

    kind: ClassVar[str] = "proud"

    def refusal(self, manifest: Manifest) -> str:
        return "integers are beneath it" if manifest.integer else ""


class Fragile(OnnxRuntime):
    """ONNX Runtime, as it would be with a bug.

    Attributes:
        of: the recipes whose files it dies of.
        when: "timed" is when it is asked the same again and again.
    """

    kind: ClassVar[str] = "fragile"
    of: tuple[str, ...] = ("int8",)
    when: Literal["opening", "answering", "timed"] = "opening"

    def open(self, artifact: Artifact, threads: int) -> Session:
        session = super().open(artifact, threads)
        if artifact.manifest.recipe not in self.of:
            return session
        if self.when == "opening":
            crash()
        asked: list[int] = []

        def call(x_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
            asked.append(id(x_NCHW))
            if self.when == "answering" or asked[-PATIENCE:] == [id(x_NCHW)] * PATIENCE:
                crash()
            return session(x_NCHW)

        return call
