"""PyTorch, operator by operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import Artifact
from pipeline.errors import UnavailableError
from pipeline.hush import hushed
from pipeline.runtime import Runtime, torch_session

if TYPE_CHECKING:
    from pipeline.runtime import Session


class Eager(Runtime):
    """PyTorch eager: the .pt2 graph, one operator after another; int8 is simulated in float."""

    kind: ClassVar[str] = "eager"
    format: ClassVar[str] = "pt2"
    package: ClassVar[str] = "torch"

    def open(self, artifact: Artifact, threads: int) -> Session:
        import torch

        with hushed():
            if artifact.manifest.integer:
                from torchao.quantization.pt2e import quantize_pt2e  # noqa: F401 (registers the file's operators)
            try:
                module = torch.export.load(artifact.path).module(check_guards=False)
            except Exception as error:
                cause = f"torch.export cannot open {artifact.path}: {str(error).splitlines()[0]}"
                raise UnavailableError(cause, "export it again") from error
        return torch_session(module, threads)
