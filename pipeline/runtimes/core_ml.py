"""Core ML, which Apple's systems alone have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import Artifact
from pipeline.errors import UnavailableError
from pipeline.hush import hushed
from pipeline.runtime import Runtime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session


class CoreMl(Runtime):
    """Core ML on a Mac's CPU; the number of threads is its own choice."""

    kind: ClassVar[str] = "coreml"
    format: ClassVar[str] = "coreml"
    package: ClassVar[str] = "coremltools"
    requires: ClassVar[tuple[str, ...]] = ("coremltools",)
    extra: ClassVar[str] = "coreml"
    system: ClassVar[str] = "darwin"

    def open(self, artifact: Artifact, threads: int) -> Session:
        import numpy as np

        with hushed():
            import coremltools
        package = artifact.path.parent
        try:
            model = coremltools.models.MLModel(str(package), compute_units=coremltools.ComputeUnit.CPU_ONLY)
        except Exception as error:
            cause = f"coreml cannot open {package}: {str(error).splitlines()[0]}"
            raise UnavailableError(cause, "export it again") from error

        def session(x_NCHW: NDArray[Any]) -> NDArray[np.float32]:
            return np.asarray(model.predict({"input": x_NCHW})["logits"], dtype=np.float32)

        return session
