"""LiteRT, once TensorFlow Lite: converted in an environment of its own, as its converter needs another PyTorch."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pipeline.environment import Environment
from pipeline.exporters.exporter import Exporter, captured
from pipeline.exporters.pt2 import anonymous
from pipeline.hush import hushed
from pipeline.model import Model

SCRIPT = Path(__file__).with_name("_litert_convert.py")


class ExportLiteRt(Exporter):
    """LiteRT's .tflite, whose image comes with its channels last, and to an int8 file as int8."""

    format: ClassVar[str] = "tflite"
    suffix: ClassVar[str] = ".tflite"
    batch: ClassVar[int] = 1
    tools: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "ai-edge-litert")
    requires: ClassVar[tuple[str, ...]] = ("ai_edge_litert",)
    extra: ClassVar[str] = "litert"
    environment: ClassVar[Environment | None] = Environment(
        "litert", ("litert-torch==0.10.0", "torch==2.13.0", "torchao==0.18.0"), "2 to 6 GB"
    )

    def refusal(self, model: Model) -> str:
        if not model.integer:
            return ""
        from pipeline._dynamic_linear import is_dynamic

        return "LiteRT's converter takes int8 of fixed ranges only" if is_dynamic(model.module) else ""

    def write(self, model: Model, path: Path) -> None:
        import torch

        assert self.environment is not None
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "model.pt2"
            with hushed():
                torch.export.save(anonymous(captured(convertible(model), self.batch)), source)
            self.environment.run(SCRIPT, str(source), str(path), *(["int8"] if model.integer else []))


def convertible(model: Model) -> Model:
    """The model with an int8 module that the converter recognizes; a float one as it is."""
    if not model.integer:
        return model
    from pipeline.exporters._litert_integers import recognizable

    return replace(model, module=recognizable(model.module))
