"""ExecuTorch on the CPU: XNNPACK's kernels, and its portable ones for what XNNPACK does not take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import Artifact
from pipeline.errors import UnavailableError
from pipeline.hush import hushed, unheard
from pipeline.runtime import Port, Ports, Runtime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

METHOD = "forward"


class ExecuTorch(Runtime):
    """ExecuTorch with XNNPACK."""

    kind: ClassVar[str] = "executorch"
    format: ClassVar[str] = "pte"
    package: ClassVar[str] = "executorch"
    requires: ClassVar[tuple[str, ...]] = ("executorch",)
    extra: ClassVar[str] = "executorch"

    def open(self, artifact: Artifact, threads: int) -> Session:
        return _Session(artifact.path, threads)

    def ports(self, path: Path) -> Ports:
        told = _program(path).metadata(METHOD)
        inputs = [told.input_tensor_meta(index) for index in range(told.num_inputs())]
        outputs = [told.output_tensor_meta(index) for index in range(told.num_outputs())]
        return Ports(tuple(map(_port, inputs)), tuple(map(_port, outputs)))


class _Pool:
    """XNNPACK's threads, which all programs of a process share and hold on to.

    Attributes:
        number: how often they were replaced; what was loaded before must be loaded again.
    """

    threads: ClassVar[int] = 0
    number: ClassVar[int] = 0

    @classmethod
    def of(cls, threads: int) -> int:
        """The number of a pool with so many threads, which is now everybody's."""
        if cls.threads != threads:
            with hushed(), unheard():
                from executorch.extension.pybindings import portable_lib

                portable_lib._unsafe_reset_threadpool(threads)
            cls.threads, cls.number = threads, cls.number + 1
        return cls.number


class _Session:
    """A loaded program; loaded again when another session has replaced the threads it holds on to."""

    def __init__(self, path: Path, threads: int) -> None:
        self.path, self.threads, self.loaded = path, threads, -1
        self.method: Any = None
        try:
            self._load()
        except RuntimeError as error:
            raise _refused(path, error) from error

    def _load(self) -> None:
        pool = _Pool.of(self.threads)
        if pool != self.loaded:
            self.method, self.loaded = _program(self.path).load_method(METHOD), pool

    def __call__(self, x_NCHW: NDArray[Any]) -> NDArray[np.float32]:
        import torch

        self._load()
        [answer] = self.method.execute([torch.from_numpy(x_NCHW)])  # a copy: it is given to nobody else
        logits_NK: NDArray[np.float32] = answer.numpy()
        return logits_NK


def _program(path: Path) -> Any:
    with hushed():
        from executorch.runtime import Runtime as ExecuTorchRuntime
    try:
        return ExecuTorchRuntime.get().load_program(path)
    except RuntimeError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> UnavailableError:
    return UnavailableError(f"executorch cannot open {path}: {str(error).splitlines()[0]}", "export it again")


def _port(told: Any) -> Port:
    """Its numbers are coded as PyTorch codes them: 6 is float32."""
    kinds = {0: "uint8", 1: "int8", 3: "int32", 4: "int64", 6: "float32", 7: "float64"}
    return Port(tuple(told.sizes()), kinds.get(int(told.dtype()), str(told.dtype())))
