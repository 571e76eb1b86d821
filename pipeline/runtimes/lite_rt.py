"""LiteRT on the CPU, with XNNPACK's kernels."""

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


class LiteRt(Runtime):
    """LiteRT, once TensorFlow Lite, with XNNPACK."""

    kind: ClassVar[str] = "litert"
    format: ClassVar[str] = "tflite"
    package: ClassVar[str] = "ai-edge-litert"
    requires: ClassVar[tuple[str, ...]] = ("ai_edge_litert",)
    extra: ClassVar[str] = "litert"

    def open(self, artifact: Artifact, threads: int) -> Session:
        interpreter = _interpreter(artifact.path, threads)
        [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()

        def session(x_NCHW: NDArray[Any]) -> NDArray[np.float32]:
            interpreter.set_tensor(taken["index"], as_taken(x_NCHW.transpose(0, 2, 3, 1), taken))
            interpreter.invoke()
            logits_NK: NDArray[np.float32] = interpreter.get_tensor(given["index"])  # a copy
            return logits_NK

        return session

    def ports(self, path: Path) -> Ports:
        interpreter = _interpreter(path, 1)
        inputs = tuple(_image(told) for told in interpreter.get_input_details())
        return Ports(inputs, tuple(_port(told) for told in interpreter.get_output_details()))


def as_taken(x_NHWC: NDArray[Any], taken: dict[str, Any]) -> NDArray[Any]:
    """An image as the file takes it: of an int8 file the integers, by the step and zero point that stand in it."""
    import numpy as np

    if taken["dtype"] is not np.int8:
        return x_NHWC
    step, zero_point = taken["quantization"]
    integers: NDArray[Any] = np.clip(np.rint(x_NHWC * np.float32(1 / step)) + zero_point, -128, 127).astype(np.int8)
    return integers


def _interpreter(path: Path, threads: int) -> Any:
    with hushed():
        from ai_edge_litert.interpreter import Interpreter
    try:
        with unheard():
            interpreter = Interpreter(model_path=str(path), num_threads=threads)
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        cause = f"litert cannot open {path}: {str(error).splitlines()[0]}"
        raise UnavailableError(cause, "export it again") from error
    return interpreter


def _port(told: dict[str, Any]) -> Port:
    import numpy as np

    return Port(tuple(int(size) for size in told["shape"]), np.dtype(told["dtype"]).name)


def _image(told: dict[str, Any]) -> Port:
    """As a session takes it: channels come first, and int8 is made of floats."""
    shape, dtype = _port(told)
    return Port((shape[0], shape[-1], *shape[1:-1]), "float32" if dtype == "int8" else dtype)
