"""OpenVINO, float and with NNCF's post-training int8."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.peer import FLOAT, INT8, Made

if TYPE_CHECKING:
    from benchmarks.peers.peer import Session

TITLE = "NNCF, OpenVINO"
ENVIRONMENT = "openvino"
PACKAGES = ("openvino", "nncf")
PRECISIONS = (FLOAT, INT8)


def make(order: Path, out: Path, precision: str) -> Made:
    import openvino

    network = openvino.convert_model(order / "float.onnx")
    made = out / f"{precision}.xml"
    if precision != FLOAT:
        import nncf  # type: ignore[import-not-found]
        import numpy as np

        images_NCHW = np.load(order / "calibration.npy", mmap_mode="r")
        images = nncf.Dataset(images_NCHW, lambda image_CHW: image_CHW[None])
        network = nncf.quantize(network, images, subset_size=len(images_NCHW))
    openvino.save_model(network, made, compress_to_fp16=False)
    return Made(made)


def open(path: Path, threads: int) -> Session:
    import openvino

    core = openvino.Core()
    hints = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(path), "CPU", hints).create_infer_request()
    return lambda x_NCHW: request.infer([x_NCHW])[0].copy()
