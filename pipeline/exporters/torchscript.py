"""TorchScript. Legacy: PyTorch has deprecated it in favour of torch.export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.exporters.exporter import Exporter, deployed
from pipeline.hush import hushed
from pipeline.model import Model

if TYPE_CHECKING:
    from torch import nn


class ExportTorchScript(Exporter):
    """TorchScript (legacy), traced and frozen; an int8 model runs PyTorch's int8 kernels."""

    format: ClassVar[str] = "torchscript"
    suffix: ClassVar[str] = ".pt"
    tools: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "torchao")

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

    return dynamic(module) if is_dynamic(module) else integer(module)
