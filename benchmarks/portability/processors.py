"""The processors that are asked: this one, and others that QEMU emulates for one process (Debian's qemu-user)."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from typing import NamedTuple

from benchmarks.portability.aarch64 import prefix, system
from pipeline.errors import UnavailableError
from pipeline.runtimes import onnx_runtime

X86_64, AARCH64 = "x86_64", "aarch64"
# ONNX Runtime's own remedy: slower kernels that do not saturate, in place of those that do.
EXACT = "=".join(onnx_runtime.EXACT)


class Processor(NamedTuple):
    """A processor to ask, and how.

    Attributes:
        name: for people. architecture: whose Python and ONNX Runtime it takes.
        model: as QEMU calls it; "" is this machine's own. settings: of ONNX Runtime's session.
        part: the number by which Linux knows an ARM core; kernels are chosen by it.
    """

    name: str
    architecture: str
    model: str = ""
    settings: tuple[str, ...] = ()
    part: str = ""


# Asked first; what it answers is what all others are compared with. Where VNNI is, EXACT changes nothing.
REFERENCE = Processor("this machine, exact", platform.machine(), settings=(EXACT,))
PROCESSORS = (
    Processor("this machine", platform.machine()),
    Processor("Haswell: AVX2, no VNNI", X86_64, "Haswell"),
    Processor("Haswell, exact", X86_64, "Haswell", (EXACT,)),
    Processor("Nehalem: SSE4.2", X86_64, "Nehalem"),
    Processor("Cortex-A53: no dot products", AARCH64, "cortex-a53", part="0xd03"),
    Processor("Cortex-A76: dot products", AARCH64, "cortex-a76", part="0xd0b"),
    Processor("ARM, all that QEMU knows", AARCH64, "max", part="0xd0c"),
)


class Start(NamedTuple):
    """What starts Python on a processor: the beginning of a command, and the environment it needs."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


def start(processor: Processor) -> Start:
    """Python with numpy and ONNX Runtime there; made first where it is not there yet.

    Raises:
        UnavailableError: it cannot be emulated here; tells why.
    """
    if not processor.model:
        return Start((sys.executable,), os.environ)
    emulator = shutil.which(f"qemu-{processor.architecture}")
    if emulator is None:
        raise UnavailableError(f"there is no qemu-{processor.architecture}", "install QEMU: apt-get install qemu-user")
    command = (emulator, "-cpu", processor.model)
    if processor.architecture == platform.machine():
        return Start((*command, sys.executable), os.environ)
    if processor.architecture != AARCH64:
        raise UnavailableError(f"no Python for {processor.architecture} can be had on {platform.machine()}")
    made = system()
    root = prefix(made, processor.model, processor.part)
    return Start((*command, "-L", str(root), str(made.python)), {**os.environ, "PYTHONPATH": str(made.packages)})
