"""ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import Artifact
from pipeline.errors import UnavailableError
from pipeline.runtime import Runtime

if TYPE_CHECKING:
    from pipeline.runtime import Session


class OnnxRuntime(Runtime):
    """ONNX Runtime, CPU execution provider."""

    kind: ClassVar[str] = "onnxruntime"
    format: ClassVar[str] = "onnx"
    package: ClassVar[str] = "onnxruntime"

    def open(self, artifact: Artifact, threads: int) -> Session:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors: they are raised as well, and warnings concern nobody
        # Idle threads that spin would slow whatever is measured next.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            session = onnxruntime.InferenceSession(artifact.path, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            cause = f"onnxruntime cannot open {artifact.path}: {str(error).splitlines()[0]}"
            raise UnavailableError(cause, "export it again") from error
        [output] = [value.name for value in session.get_outputs()]
        [name] = [value.name for value in session.get_inputs()]
        return lambda x_NCHW: session.run([output], {name: x_NCHW})[0]
