"""What this machine and installation are fit for, line by line, with the fix."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from pipeline.measure.machine import cpu_flags, machine_facts, usable_cores
from pipeline.plugin import Plugin, discover
from pipeline.runtime import Runtime
from pipeline.spec import Value

GIB = 2**30
INT8_FEATURES = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


class Check(Value):
    """One line of the doctor's answer."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    fix: str = ""


def examine(out: Path = Path("exported")) -> list[Check]:
    """Every check, in the order a person would ask."""
    return [*packages(), *machine(), disk(out), *accelerators(), *runtimes()]


def packages() -> Iterator[Check]:
    """Versions of what is required against the tested range in the package's metadata."""
    for line in requires("edgewright") or []:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield package(requirement)


def package(requirement: Requirement) -> Check:
    """One required package: is it here, and is it a version that is tested?"""
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        return Check(name=requirement.name, status="fail", found="not installed", fix=f"pip install '{requirement}'")
    if requirement.specifier.contains(found, prereleases=True):
        return Check(name=requirement.name, status="ok", found=found)
    wanted = f"tested with {requirement.specifier}"
    return Check(name=requirement.name, status="warn", found=f"{found}, {wanted}", fix=f"pip install '{requirement}'")


def machine() -> Iterator[Check]:
    """Instruction set, cores, load and memory."""
    facts, flags = machine_facts(), cpu_flags()
    int8 = [feature for feature in INT8_FEATURES if feature in flags]
    yield Check(name="cpu", status="ok", found=str(facts["cpu"]))
    yield Check(
        name="int8 instructions",
        status="ok" if int8 else "warn",
        found=", ".join(int8) or "none",
        fix="" if int8 else "int8 runs, but hardly faster than float; measure on the phone",
    )
    if "x86" in facts["system"]:
        wide = "avx2" in flags
        yield Check(name="avx2", status="ok" if wide else "warn", found="yes" if wide else "no")
    cores, load = usable_cores(), float(facts["load"])
    yield Check(name="cores", status="ok", found=str(cores))
    busy = load > 0.5 * cores
    fix = "stop other work before measuring" if busy else ""
    yield Check(name="load", status="warn" if busy else "ok", found=f"{load:.2f}", fix=fix)
    gib = facts["memory_bytes"] / GIB
    small = gib < 4
    yield Check(name="memory", status="warn" if small else "ok", found=f"{gib:.1f} GiB", fix="4 GiB" if small else "")


def disk(out: Path) -> Check:
    """Free space where results go."""
    existing = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    gib = shutil.disk_usage(existing).free / GIB
    if gib < 0.5:
        return Check(name="disk", status="fail", found=f"{gib:.2f} GiB free", fix="free at least 0.5 GiB")
    return Check(name="disk", status="ok", found=f"{gib:.0f} GiB free")


def accelerators() -> Iterator[Check]:
    """The GPU, and PyTorch's view of it."""
    import torch

    if torch.cuda.is_available():
        yield Check(name="gpu", status="ok", found=torch.cuda.get_device_name())
    else:
        yield Check(name="gpu", status="ok", found="none; training runs on the CPU")


def runtimes() -> Iterator[Check]:
    """Which runtimes can be measured here."""
    for kind, plugin in discover("runtime").items():
        if plugin.missing():
            found = "not installed" if plugin.at_home() else "not on this machine"
            yield Check(name=f"runtime {kind}", status="warn", found=found, fix=plugin.remedy())
        else:
            yield Check(name=f"runtime {kind}", status="ok", found=_release(plugin))


def _release(plugin: type[Plugin]) -> str:
    """Its version; with the name of each, where there are several."""
    assert issubclass(plugin, Runtime)
    found = plugin.releases()
    return ", ".join(found.values() if len(found) == 1 else (f"{name} {told}" for name, told in found.items()))
