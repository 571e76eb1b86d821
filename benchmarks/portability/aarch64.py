"""Python, numpy and ONNX Runtime for ARM's 64 bits, made once and kept in the user's cache; no root is needed.

Python and the C library are Debian's packages, fetched by this machine's apt with lists of its own and unpacked;
numpy and ONNX Runtime are PyPI's wheels, of the versions that are installed here. Debian and its kin only.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from pipeline.environment import STAMP, kept_in, step
from pipeline.errors import UnavailableError
from pipeline.measure.machine import versions

PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
WHEELS = ("numpy", "onnxruntime")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
APT = """
Dir::State "{folder}/apt";
Dir::State::status "{folder}/apt/status";
Dir::Cache "{folder}/apt";
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false";
Debug::NoLocking "true";
"""
# What ONNX Runtime reads to know its core; without it, QEMU shows this machine's, and ONNX Runtime dies.
CPUINFO = """processor\t: {number}
Features\t: fp asimd
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part}
CPU revision\t: 0

"""
SHOWN_CORES = 2


class System(NamedTuple):
    """A folder that looks like the root of an ARM machine, its Python, and where that finds numpy and ONNX Runtime."""

    root: Path
    python: Path
    packages: Path


def system(folder: Path | None = None) -> System:
    """The ARM machine's files; fetched first where they are not there.

    Raises:
        UnavailableError: there is no apt, or it or pip could not fetch what is needed; tells their last lines.
    """
    wheels = [f"{name}=={version}" for name, version in versions(WHEELS).items()]
    key = hashlib.sha256(" ".join([*PACKAGES, *wheels]).encode()).hexdigest()[:12]
    folder = (folder or kept_in()) / f"aarch64-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / STAMP).is_file():
            shutil.rmtree(folder, ignore_errors=True)
            _fetch_python(folder)
            _fetch_wheels(folder, wheels)
            (folder / STAMP).touch()
    return _known(folder)


def _known(folder: Path) -> System:
    return System(folder / "root", (folder / "root" / "usr" / "bin" / "python3").resolve(), folder / "packages")


def _fetch_python(folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise UnavailableError("a Python for ARM is fetched by apt-get and dpkg-deb, which are not here")
    (folder / "apt" / "lists" / "partial").mkdir(parents=True)
    (folder / "apt" / "archives" / "partial").mkdir(parents=True)
    (folder / "apt" / "status").touch()
    (folder / "apt.conf").write_text(APT.format(folder=folder))
    apt = ("env", f"APT_CONFIG={folder}/apt.conf", "apt-get")
    step([*apt, "update"], folder)
    step([*apt, "install", "--yes", "--download-only", *PACKAGES], folder)
    for package in sorted((folder / "apt" / "archives").glob("*.deb")):
        step(["dpkg-deb", "--extract", str(package), str(folder / "root")], folder)
    if not (folder / "root" / "lib").exists():  # newer Debians have all of it in usr
        (folder / "root" / "lib").symlink_to("usr/lib")


def _fetch_wheels(folder: Path, wheels: list[str]) -> None:
    """Those for the Python that was fetched, whatever this one is."""
    version = _known(folder).python.name.removeprefix("python")
    platforms = [part for name in PLATFORMS for part in ("--platform", name)]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    where = ["--target", str(folder / "packages"), "--python-version", version]
    step([*pip, *where, *platforms, *wheels], folder)


def prefix(made: System, model: str, part: str) -> Path:
    """The same files with a ``/proc/cpuinfo`` of one kind of core, where QEMU looks first."""
    folder = made.root.parent / "cores" / model
    (folder / "proc").mkdir(parents=True, exist_ok=True)
    told = "".join(CPUINFO.format(number=number, part=part) for number in range(SHOWN_CORES))
    (folder / "proc" / "cpuinfo").write_text(told)
    for entry in made.root.iterdir():
        link = folder / entry.name
        if not link.is_symlink():
            link.symlink_to(entry)
    return folder
