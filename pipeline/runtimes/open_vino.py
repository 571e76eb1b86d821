"""OpenVINO on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import Artifact, Manifest
from pipeline.errors import UnavailableError
from pipeline.runtime import Runtime, saturating

if TYPE_CHECKING:
    from pipeline.runtime import Session


class OpenVino(Runtime):
    """OpenVINO, CPU plug-in, reading the ONNX file."""

    kind: ClassVar[str] = "openvino"
    format: ClassVar[str] = "onnx"
    package: ClassVar[str] = "openvino"
    requires: ClassVar[tuple[str, ...]] = ("openvino",)
    extra: ClassVar[str] = "openvino"

    def refusal(self, manifest: Manifest) -> str:
        return saturating(manifest)

    def open(self, artifact: Artifact, threads: int) -> Session:
        import openvino

        core = openvino.Core()
        hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        try:
            compiled = core.compile_model(core.read_model(artifact.path), "CPU", hints)
        except RuntimeError as error:
            cause = f"openvino cannot open {artifact.path}: {str(error).splitlines()[0]}"
            raise UnavailableError(cause, "export it again") from error
        request = compiled.create_infer_request()
        return lambda x_NCHW: request.infer([x_NCHW])[0].copy()
