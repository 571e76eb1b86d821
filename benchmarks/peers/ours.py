"""Ours: the float and the int8 ONNX file as edgewright made them, in ONNX Runtime."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.peer import FLOAT, INT8, Made, note_of

if TYPE_CHECKING:
    from benchmarks.peers.peer import Session

TITLE = "edgewright, ONNX Runtime"
ENVIRONMENT = "onnxruntime"
PACKAGES = ("onnxruntime",)
PRECISIONS = (FLOAT, INT8)


def make(order: Path, out: Path, precision: str) -> Made:
    note = order / note_of(precision)
    return Made(Path(shutil.copy(order / f"{precision}.onnx", out)), note.read_text() if note.is_file() else "")


def open(path: Path, threads: int) -> Session:
    """The settings of ``pipeline/runtimes/onnx_runtime.py``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    [name] = [value.name for value in session.get_inputs()]
    return lambda x_NCHW: session.run(None, {name: x_NCHW})[0]
