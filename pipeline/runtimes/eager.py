"""PyTorch, operator by operator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import Artifact
from pipeline.errors import UnavailableError
from pipeline.hush import hushed
from pipeline.runtime import Port, Ports, Runtime, torch_session

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from pipeline.runtime import Session


class Eager(Runtime):
    """PyTorch eager: the .pt2 graph, one operator after another; int8 is simulated in float."""

    kind: ClassVar[str] = "eager"
    format: ClassVar[str] = "pt2"
    package: ClassVar[str] = "torch"

    def open(self, artifact: Artifact, threads: int) -> Session:
        with hushed():
            if artifact.manifest.integer:
                from torchao.quantization.pt2e import quantize_pt2e  # noqa: F401 (registers the file's operators)
            module = _loaded(artifact.path).module(check_guards=False)
        return torch_session(module, threads)

    def ports(self, path: Path) -> Ports:
        with hushed():
            arguments, _ = _loaded(path).example_inputs or ((), {})
        # It was captured with some number of images; whether it takes others is not written down.
        return Ports(tuple(Port((None, *one.shape[1:]), str(one.dtype).removeprefix("torch.")) for one in arguments))


def _loaded(path: Path) -> ExportedProgram:
    import torch

    try:
        return torch.export.load(path)
    except Exception as error:
        cause = f"torch.export cannot open {path}: {str(error).splitlines()[0]}"
        raise UnavailableError(cause, "export it again") from error
