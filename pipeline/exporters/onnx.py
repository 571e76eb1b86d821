"""ONNX: what ONNX Runtime, and most converters, read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from pipeline.exporters.exporter import Exporter, captured
from pipeline.hush import hushed
from pipeline.model import Model
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    import onnx_ir
    import torch
    from torch import nn


class ExportOnnx(Exporter):
    """ONNX; an int8 model as QDQ, which ONNX Runtime turns into int8 kernels.

    Attributes:
        opset: version of the operator set.
        amx: an int8 file for processors with AMX, such as Intel's servers: the same answers, from kernels that
            are quicker there and slower elsewhere.
        pixels: the file takes the uint8 image, and normalizes it itself; an int8 one in its first layer.
    """

    version: ClassVar[int] = 2
    format: ClassVar[str] = "onnx"
    suffix: ClassVar[str] = ".onnx"
    batch: ClassVar[int] = 1  # static shapes are what phone accelerators take, and export faster
    tools: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "torchao", "onnx", "onnxscript")
    opset: Annotated[int, Field(ge=18, le=23)] = 21
    amx: bool = False
    pixels: bool = False

    def input_of(self, spec: InputSpec) -> InputSpec:
        return spec.model_copy(update={"dtype": "uint8"}) if self.pixels else spec

    def reference(self, value: Model) -> Model:
        if not (self.pixels and value.integer):
            return value
        from pipeline.exporters._pixel_reference import pixel_reference

        return pixel_reference(value)

    def write(self, model: Model, path: Path) -> None:
        import onnx_ir

        from pipeline.exporters._dynamic_onnx import spelled_out
        from pipeline.rewrites.all import rewritten

        program = captured(replace(model, module=spelled_out(model.module)), self.batch)
        pixels = model.spec if self.pixels else None
        onnx_ir.save(rewritten(named(graph_of(program, self.opset)), self.amx, pixels), path)


def graph_of(program: torch.export.ExportedProgram, opset: int) -> onnx_ir.Model:
    """A captured network as an ONNX graph from ``input`` to ``logits``, without a word of where it was made."""
    import torch

    with hushed():
        found = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=opset,
            input_names=["input"],
            output_names=["logits"],
            verbose=False,
        )
    assert found is not None
    return anonymous(found.model)


def write_module(module: nn.Module, shape: tuple[int, int, int], path: Path) -> None:
    """Write any network in eval mode, as it is, for one image a call.

    Args:
        shape: (C, H, W) of the image.
    """
    import onnx_ir
    import torch

    with hushed(), torch.no_grad():
        program = torch.export.export(module, (torch.zeros(1, *shape),))
    onnx_ir.save(graph_of(program, ExportOnnx().opset), path)


def anonymous(model: onnx_ir.Model) -> onnx_ir.Model:
    """Remove, in place, the source lines and paths that PyTorch writes beside every node."""
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.doc_string = model.graph.doc_string = None
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in [*model.graph.inputs, *model.graph.initializers.values()]:
        value.metadata_props.clear()
    return model


def named(model: onnx_ir.Model) -> onnx_ir.Model:
    """Name each product of dynamic int8 after its layer, in place; PyTorch calls all of them symbolic."""
    from pipeline._dynamic_linear import numbered

    products = [node for node in model.graph if node.op_type == "MatMulInteger"]
    for name, node in zip(numbered(len(products)), products, strict=True):
        node.name = name
    return model
