"""PyTorch compiled: float, and int8 by PT2E with the quantizer for Inductor on x86; weights are frozen."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.peer import FLOAT, INT8, Made
from benchmarks.peers.torch_eager import session

if TYPE_CHECKING:
    from benchmarks.peers.peer import Session

TITLE = "torch.compile"
ENVIRONMENT = "torch"
PACKAGES = ("torch", "torchao")
PRECISIONS = (FLOAT, INT8)
NOTE = "the file is the exported program; it is compiled in the process that opens it"


def make(order: Path, out: Path, precision: str) -> Made:
    if precision == FLOAT:
        return Made(Path(shutil.copy(order / "float.pt2", out)), NOTE)
    import numpy as np
    import torch
    import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer as x86
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    images_NCHW = torch.from_numpy(np.load(order / "calibration.npy"))
    quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.load(order / "float.pt2").module(), quantizer)
    with torch.no_grad():
        for image_1CHW in images_NCHW.split(1):
            prepared(image_1CHW)
    program = torch.export.export(convert_pt2e(prepared), (images_NCHW[:1].clone(),))
    torch.export.save(program, out / "int8.pt2")
    return Made(out / "int8.pt2", NOTE)


def open(path: Path, threads: int) -> Session:
    import torch
    import torchao.quantization.pt2e.quantizer.x86_inductor_quantizer  # noqa: F401 (registers what an int8 file holds)
    from torch._inductor import config

    torch.set_num_threads(threads)
    config.freezing = True
    return session(torch.compile(torch.export.load(path).module()))
