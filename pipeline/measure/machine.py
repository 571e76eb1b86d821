"""The machine a number comes from."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

# What int8 and float kernels look for, by the names Linux gives them.
FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
PACKAGES = ("edgewright", "torch", "torchvision", "torchao", "onnx", "onnxruntime", "numpy")


def machine_facts() -> dict[str, Any]:
    """CPU, cores, memory, system and load, JSON-ready; nothing that names a person or a host."""
    import psutil

    flags = cpu_flags()
    return {
        "cpu": cpu_name(),
        "features": [feature for feature in FEATURES if feature in flags],
        "cores": usable_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


@contextmanager
def measuring_alone(lock: Path | None = None) -> Iterator[None]:
    """Wait until nobody else measures on this machine, and keep others waiting meanwhile."""
    from filelock import FileLock

    path = lock or Path(tempfile.gettempdir()) / "edgewright-measuring.lock"
    # Anybody's: users of one machine wait for each other.
    with FileLock(path, mode=0o666):
        yield


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def cpu_flags() -> frozenset[str]:
    """Instruction-set features, as Linux names them; empty where the system does not tell."""
    info = _cpuinfo()
    return frozenset((info.get("flags") or info.get("Features") or "").split())


def _cpuinfo() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    pairs = (line.partition(":") for line in lines)
    first: dict[str, str] = {}
    for key, _, value in pairs:
        first.setdefault(key.strip(), value.strip())
    return first


def versions(packages: Iterable[str] = PACKAGES) -> Mapping[str, str]:
    """Installed versions by distribution name; absent ones are left out."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
