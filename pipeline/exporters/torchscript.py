"""TorchScript. Legacy: PyTorch has deprecated it in favour of torch.export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.exporters.exporter import Exporter, deployed
from pipeline.hush import hushed
from pipeline.model import Model

if TYPE_CHECKING:
    from torch import fx, nn


class ExportTorchScript(Exporter):
    """TorchScript (legacy), traced and frozen; an int8 model runs PyTorch's int8 kernels."""

    format: ClassVar[str] = "torchscript"
    suffix: ClassVar[str] = ".pt"
    tools: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "torchao")
    version: ClassVar[int] = 2

    def write(self, model: Model, path: Path) -> None:
        import torch

        with hushed(), torch.no_grad():  # of the deprecation that this file contains
            shipped = shipped_module(model)
            traced = torch.jit.trace(shipped, torch.zeros(1, *model.spec.shape), check_trace=False)
            torch.jit.save(torch.jit.freeze(traced.eval()), path)

    def images_a_call(self, model: Model) -> int:
        """One for dynamic int8: the kernel has one range for all images of a call."""
        from pipeline._dynamic_linear import is_dynamic

        return 1 if is_dynamic(model.module) else self.batch


def shipped_module(model: Model) -> nn.Module:
    """The float module without BatchNorm, or the int8 one on PyTorch's integer kernels."""
    module = deployed(model)
    if not model.integer:
        return module
    from pipeline._dynamic_linear import is_dynamic
    from pipeline.exporters._integer_torch import dynamic, integer

    return dynamic(module) if is_dynamic(module) else of_any_batch(integer(module))


def of_any_batch(module: fx.GraphModule) -> fx.GraphModule:
    """Let tensors give sizes and views, in place: tracing follows them, where it takes a graph's sizes for numbers."""
    import torch

    methods = {torch.ops.aten.sym_size.int: "size", torch.ops.aten.view.default: "view"}
    for target, method in methods.items():
        for node in module.graph.find_nodes(op="call_function", target=target):
            with module.graph.inserting_before(node):
                asked = module.graph.call_method(method, node.args)
            node.replace_all_uses_with(asked)
            module.graph.erase_node(node)
    module.recompile()
    return module
