"""LiteRT, once TensorFlow Lite: converted in an environment of its own, as its converter needs another PyTorch."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

from pipeline.environment import Environment
from pipeline.exporters.exporter import Exporter, captured
from pipeline.exporters.pt2 import anonymous
from pipeline.hush import hushed
from pipeline.model import Model

SCRIPT = Path(__file__).with_name("_litert_convert.py")


class ExportLiteRt(Exporter):
    """LiteRT's .tflite, whose image comes with its channels last; float only."""

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
        return "LiteRT's converter finds int8 by itself, and cannot hold ours" if model.integer else ""

    def write(self, model: Model, path: Path) -> None:
        import torch

        assert self.environment is not None
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "model.pt2"
            with hushed():
                torch.export.save(anonymous(captured(model, self.batch)), source)
            self.environment.run(SCRIPT, str(source), str(path))
