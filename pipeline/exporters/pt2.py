"""torch.export's .pt2 file, PyTorch's successor to TorchScript."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.exporters.exporter import Exporter, captured
from pipeline.hush import hushed
from pipeline.model import Model

if TYPE_CHECKING:
    import torch


class ExportPt2(Exporter):
    """torch.export's .pt2: the graph of ATen operators that PyTorch's own tools read."""

    format: ClassVar[str] = "pt2"
    suffix: ClassVar[str] = ".pt2"
    tools: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "torchao")

    def write(self, model: Model, path: Path) -> None:
        import torch

        with hushed():
            torch.export.save(anonymous(captured(model, self.batch)), path)


def anonymous(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """Remove, in place, the source lines and paths that PyTorch writes beside every node."""
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program
