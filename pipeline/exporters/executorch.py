"""ExecuTorch: PyTorch's own way onto phones, with XNNPACK's kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.exporters.exporter import Exporter, captured
from pipeline.hush import hushed
from pipeline.model import Model

if TYPE_CHECKING:
    import torch


class ExportExecuTorch(Exporter):
    """ExecuTorch's .pte for XNNPACK; an int8 model runs XNNPACK's integer kernels."""

    format: ClassVar[str] = "pte"
    suffix: ClassVar[str] = ".pte"
    batch: ClassVar[int] = 1
    tools: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "torchao", "executorch")
    requires: ClassVar[tuple[str, ...]] = ("executorch",)
    extra: ClassVar[str] = "executorch"

    def write(self, model: Model, path: Path) -> None:
        with hushed():
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower

            program = in_kernels_shapes(model, self.batch)
            lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            path.write_bytes(lowered.to_executorch().buffer)


def in_kernels_shapes(model: Model, batch: int) -> torch.export.ExportedProgram:
    """The shipped module's graph for ``batch`` images, of operators that XNNPACK recognizes."""
    from torch import fx

    from pipeline.exporters._xnnpack import signed, spell_out_gates

    known = replace(model, module=signed(model.module)) if model.integer else model
    graph = captured(known, batch).module(check_guards=False)
    assert isinstance(graph, fx.GraphModule)
    # It is folded, and so taken as it is, like an int8 module.
    return captured(replace(model, module=spell_out_gates(graph), integer=True), batch)
