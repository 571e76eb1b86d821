"""Core ML, which iPhones and Macs run. Made on any machine; only a Mac or a phone gives its answers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from pipeline.exporters.exporter import Exporter, captured
from pipeline.hush import hushed, unheard
from pipeline.model import Model

DEBUG = "executorch_debug_handle_mapping.json"  # of no use to a phone


class ExportCoreMl(Exporter):
    """Core ML's .mlpackage, an ML program of float32; only a Mac can check its answers.

    Attributes:
        ios: the oldest version of iOS that shall open it.
    """

    format: ClassVar[str] = "coreml"
    suffix: ClassVar[str] = ".mlpackage/Manifest.json"  # a package is a folder, and this is where it starts
    batch: ClassVar[int] = 1
    tools: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "coremltools")
    requires: ClassVar[tuple[str, ...]] = ("coremltools",)
    extra: ClassVar[str] = "coreml"
    ios: Annotated[int, Field(ge=15, le=18)] = 16

    def refusal(self, model: Model) -> str:
        return "ExportCoreMl is for float networks: int8 was never checked on a Mac" if model.integer else ""

    def write(self, model: Model, path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder, hushed(), unheard():
            made = Path(folder) / path.parent.name
            self.converted(model).save(str(made))
            shutil.copytree(made, path.parent, ignore=shutil.ignore_patterns(DEBUG))

    def converted(self, model: Model) -> Any:
        """coremltools' model: ``input`` (1, C, H, W) to ``logits`` (1, K)."""
        import coremltools

        program = captured(model, self.batch).run_decompositions({})
        return coremltools.convert(
            program,
            inputs=[coremltools.TensorType(name="input", shape=(self.batch, *model.spec.shape))],
            outputs=[coremltools.TensorType(name="logits")],
            minimum_deployment_target=getattr(coremltools.target, f"iOS{self.ios}"),
            compute_precision=coremltools.precision.FLOAT32,
            skip_model_load=True,
        )
