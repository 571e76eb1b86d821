"""torch.export's .pt2 file, PyTorch's successor to TorchScript."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pipeline.exporters.exporter import Exporter, captured
from pipeline.hush import hushed
from pipeline.model import Model


class ExportPt2(Exporter):
    """torch.export's .pt2: the graph of ATen operators that PyTorch's own tools read."""

    format: ClassVar[str] = "pt2"
    suffix: ClassVar[str] = ".pt2"
    tools: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "torchao")

    def write(self, model: Model, path: Path) -> None:
        import torch

        with hushed():
            torch.export.save(captured(model, self.batch), path)
