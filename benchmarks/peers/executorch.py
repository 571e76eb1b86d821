"""ExecuTorch with the XNNPACK backend: float, and int8 by PT2E with the XNNPACK quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.peer import FLOAT, INT8, Made

if TYPE_CHECKING:
    import torch

    from benchmarks.peers.peer import Session

TITLE = "XNNPACK, ExecuTorch"
ENVIRONMENT = "torch"
PACKAGES = ("executorch", "torch", "torchao")
PRECISIONS = (FLOAT, INT8)


def make(order: Path, out: Path, precision: str) -> Made:
    import numpy as np
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    images_NCHW = torch.from_numpy(np.load(order / "calibration.npy"))
    program = torch.export.load(order / "float.pt2")
    if precision != FLOAT:
        program = torch.export.export(quantized(program.module(), images_NCHW), (images_NCHW[:1],))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    made = out / f"{precision}.pte"
    made.write_bytes(lowered.to_executorch().buffer)
    return Made(made)


def quantized(module: torch.nn.Module, images_NCHW: torch.Tensor) -> torch.nn.Module:
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(module, quantizer)
    with torch.no_grad():
        for image_1CHW in images_NCHW.split(1):
            prepared(image_1CHW)
    converted: torch.nn.Module = convert_pt2e(prepared)
    return converted


def open(path: Path, threads: int) -> Session:
    import torch
    from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
    from executorch.runtime import Runtime

    _unsafe_reset_threadpool(threads)
    method = Runtime.get().load_program(path).load_method("forward")
    return lambda x_NCHW: method.execute([torch.from_numpy(x_NCHW)])[0].numpy()
