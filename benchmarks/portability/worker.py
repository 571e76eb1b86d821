"""Runs on the processor that is asked, real or emulated, with that processor's Python.

    python worker.py FILE.onnx IMAGES.npy LOGITS.npy [KEY=VALUE…]

Needs nothing but numpy and ONNX Runtime, whose session gets the keys. Images are (N, C, H, W) float32, one a call.
A line of JSON as soon as it is awake, and one for each image:

    {"architecture": "x86_64", "features": ["AVX2", "FMA3"], "onnxruntime": "1.32.0"}
    {"seconds": 1.2}
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

# What int8 kernels are chosen by, in numpy's names, which asks the processor itself: /proc tells of the real one.
FEATURES = ("SSE42", "AVX2", "AVX512F", "AVX512VNNI", "ASIMD", "ASIMDDP", "SVE")


def seen() -> dict[str, Any]:
    """The processor as this process sees it."""
    known = importlib.import_module("numpy._core._multiarray_umath").__cpu_features__
    return {
        "architecture": platform.machine(),
        "features": [name for name in FEATURES if known.get(name)],
        "onnxruntime": onnxruntime.__version__,
    }


def answer(file: str, images: str, logits: str, *settings: str) -> None:
    """Write the logits (N, K) of all images, and tell how long each took."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    for setting in settings:
        options.add_session_config_entry(*setting.split("=", 1))
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    [name] = [value.name for value in session.get_inputs()]
    x_NCHW, found = np.load(images, mmap_mode="r"), []
    for index in range(len(x_NCHW)):
        start = time.perf_counter()
        found.append(session.run(None, {name: np.array(x_NCHW[index : index + 1])})[0])
        tell({"seconds": time.perf_counter() - start})
    np.save(Path(logits), np.concatenate(found))


def tell(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    tell(seen())
    answer(*sys.argv[1:])
