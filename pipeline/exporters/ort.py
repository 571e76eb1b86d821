"""ONNX Runtime's own format: the optimized graph, for builds that hold no more than the operators it needs."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from pipeline.exporters.exporter import Exporter
from pipeline.exporters.onnx import ExportOnnx
from pipeline.hush import hushed
from pipeline.model import Model
from pipeline.spec import InputSpec

OPERATORS, VERDICT = "required_operators_and_types.config", "mobile_usability.txt"
# What the package's converter calls it beside a file called model.ort.
MADE = f"model.{OPERATORS}"
BUILD = f"""# What model.ort needs. ONNX Runtime built with this has nothing else in it:
#   build.py --minimal_build extended --include_ops_by_config {OPERATORS} --enable_reduced_operator_type_support
"""


class ExportOrt(Exporter):
    """ONNX Runtime's ORT format, with the operators a reduced build needs and its mobile verdict.

    Attributes:
        opset: version of the operator set of the ONNX file it is made from.
        pixels: the file takes the uint8 image, and normalizes it itself; an int8 one in its first layer.
    """

    format: ClassVar[str] = "ort"
    suffix: ClassVar[str] = ".ort"
    notes: ClassVar[tuple[str, ...]] = (VERDICT, OPERATORS)
    batch: ClassVar[int] = ExportOnnx.batch
    tools: ClassVar[tuple[str, ...]] = (*ExportOnnx.tools, "onnxruntime")
    opset: Annotated[int, Field(ge=18, le=23)] = 21
    pixels: bool = False

    @property
    def onnx(self) -> ExportOnnx:
        """How the ONNX file that it is made from is exported."""
        return ExportOnnx(opset=self.opset, pixels=self.pixels)

    def input_of(self, spec: InputSpec) -> InputSpec:
        return self.onnx.input_of(spec)

    def reference(self, value: Model) -> Model:
        return self.onnx.reference(value)

    def write(self, model: Model, path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / f"{path.stem}.onnx"
            self.onnx.write(model, source)
            convert(source, path)
            (path.parent / VERDICT).write_text("\n".join([*verdict(source), ""]), encoding="utf-8")


def convert(source: Path, path: Path) -> None:
    """Write the ORT file of an ONNX file, optimized for Arm, and beside it the operators it needs.

    Only optimizations that need no particular processor are in it: it runs on x86-64 too.
    """
    with hushed():
        from onnxruntime.tools import convert_onnx_models_to_ort as tool

        tool.convert_onnx_models_to_ort(
            source, path.parent, [tool.OptimizationStyle.Fixed], target_platform="arm", enable_type_reduction=True
        )
    made = path.parent / MADE
    operators = [line for line in made.read_text().splitlines() if not line.startswith("#")]
    made.unlink()
    (path.parent / OPERATORS).write_text("\n".join([BUILD + operators[0], *operators[1:], ""]), encoding="utf-8")


def verdict(source: Path) -> list[str]:
    """What ONNX Runtime's usability check says of an ONNX file: which phone accelerators may take how much of it."""
    said = _Heard()
    log = logging.Logger("usability")  # of its own, so that nobody else hears it
    log.addHandler(said)
    with hushed():
        from onnxruntime.tools.mobile_helpers import usability_checker

        accelerated = usability_checker.analyze_model(source, logger=log)
    advice = "compare with NNAPI on Android and Core ML on iOS" if accelerated else "use the CPU execution provider"
    # Its first line is where the file was.
    return [f"ONNX Runtime's mobile usability check: {advice}.", "", *said.lines[1:]]


class _Heard(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [line.rstrip() for line in record.getMessage().splitlines()]
