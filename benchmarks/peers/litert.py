"""LiteRT with XNNPACK: float by LiteRT Torch, and int8 by the AI Edge Quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.peer import FLOAT, INT8, Made

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.peers.peer import Session

TITLE = "AI Edge Quantizer, LiteRT"
ENVIRONMENT = "litert"
PACKAGES = ("ai-edge-litert", "litert-torch", "ai-edge-quantizer", "torch")
PRECISIONS = (FLOAT, INT8)


def make(order: Path, out: Path, precision: str) -> Made:
    made = out / f"{precision}.tflite"
    if precision == FLOAT:
        convert(order, made)
    else:
        convert(order, out / "unquantized.tflite")
        quantize(order, out / "unquantized.tflite", made)
    return Made(made)


def convert(order: Path, made: Path) -> None:
    """Channels come last in a TFLite file, from its input on."""
    import litert_torch
    import torch

    program = torch.export.load(order / "float.pt2")
    example_NCHW = program.example_inputs[0][0]
    module = litert_torch.to_channel_last_io(program.module(), args=[0])
    litert_torch.convert(module, (example_NCHW.permute(0, 2, 3, 1).contiguous(),)).export(str(made))


def quantize(order: Path, source: Path, made: Path) -> None:
    """Int8 throughout but for input and output, which stay float as everybody else's."""
    import numpy as np
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer, recipe  # type: ignore[import-not-found]

    images_NHWC = np.load(order / "calibration.npy", mmap_mode="r").transpose(0, 2, 3, 1)
    tool = quantizer.Quantizer(str(source), recipe.static_wi8_ai8())
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        tool.update_quantization_recipe(".*", end, algorithm_key=algorithm_manager.AlgorithmName.NO_QUANTIZE)
    images = [{"args_0": np.ascontiguousarray(image_HWC[None])} for image_HWC in images_NHWC]
    tool.quantize(tool.calibrate({"serving_default": images}, num_threads=1)).export_model(str(made), overwrite=True)


def open(path: Path, threads: int) -> Session:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    [taken], [given] = interpreter.get_input_details(), interpreter.get_output_details()

    def session(x_NCHW: NDArray[np.float32]) -> NDArray[np.float32]:
        interpreter.set_tensor(taken["index"], x_NCHW.transpose(0, 2, 3, 1))
        interpreter.invoke()
        logits_NK: NDArray[np.float32] = interpreter.get_tensor(given["index"])
        return logits_NK

    return session
