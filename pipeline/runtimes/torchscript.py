"""PyTorch's TorchScript interpreter. Legacy: deprecated in favour of torch.export."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import Artifact
from pipeline.errors import UnavailableError
from pipeline.hush import hushed
from pipeline.runtime import Runtime, saturating, torch_session

if TYPE_CHECKING:
    from pipeline.runtime import Session


class TorchScript(Runtime):
    """TorchScript (legacy), with PyTorch's int8 kernels where the file has them."""

    kind: ClassVar[str] = "torchscript"
    format: ClassVar[str] = "torchscript"
    package: ClassVar[str] = "torch"

    def open(self, artifact: Artifact, threads: int) -> Session:
        import torch

        with hushed():
            if artifact.manifest.integer:
                # PyTorch warns once a process that these tensors are deprecated; in a session nobody could hush it.
                torch.quantize_per_tensor(torch.zeros(1), 1.0, 0, torch.quint8)
            try:
                with _exact_kernels(artifact):
                    module = torch.jit.load(artifact.path, map_location="cpu")
            except RuntimeError as error:
                cause = f"torchscript cannot open {artifact.path}: {str(error).splitlines()[0]}"
                raise UnavailableError(cause, "export it again") from error
        return torch_session(module, threads)


@contextmanager
def _exact_kernels(artifact: Artifact) -> Iterator[None]:
    """Weights that are unpacked meanwhile go to kernels that do not saturate, slower than the usual ones.

    See docs/decisions/0026-exact-kernels-without-vnni.md.
    """
    import torch

    engines = torch.backends.quantized
    usual = engines.engine
    if saturating(artifact.manifest) and "qnnpack" in engines.supported_engines:
        engines.engine = "qnnpack"
    try:
        yield
    finally:
        engines.engine = usual
