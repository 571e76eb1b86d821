"""ONNX Runtime's own quantizer: static QDQ, unsigned activations and signed per-channel weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.ours import open as open  # the same runtime with the same settings
from benchmarks.peers.peer import INT8, Made

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TITLE = "ONNX Runtime's quantizer, ONNX Runtime"
ENVIRONMENT = "onnxruntime"
PACKAGES = ("onnxruntime", "onnx")
PRECISIONS = (INT8,)


def make(order: Path, out: Path, _precision: str) -> Made:
    import numpy as np
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self, x_NCHW: NDArray[np.float32]) -> None:
            self.images: Iterator[NDArray[np.float32]] = iter(x_NCHW)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            image = next(self.images, None)
            return None if image is None else {"input": image[None]}

    prepared, made = out / "prepared.onnx", out / "int8.onnx"
    quant_pre_process(order / "float.onnx", prepared)
    quantize_static(
        prepared,
        made,
        Reader(np.load(order / "calibration.npy", mmap_mode="r")),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
    return Made(made)
