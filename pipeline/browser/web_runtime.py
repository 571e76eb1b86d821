"""onnxruntime-web, got through npm once and kept: what a browser needs to run a model."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from pipeline.data._root import cache_root
from pipeline.errors import UnavailableError
from pipeline.files import temporary_folder, write_files

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# The modules a page imports, and what each of them loads: for the CPU, and for WebGPU.
FILES = (
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
PATIENCE_S = 600.0


def web_runtime(folder: Path | None = None, say: Callable[[str], object] = str) -> Path:
    """The folder that holds ``FILES``.

    Args:
        folder: the package's ``dist`` folder, where the user has one.
        say: is told what is fetched, and where it is kept.

    Raises:
        UnavailableError: a file is missing, or the package cannot be fetched.
    """
    if folder is not None:
        if missing := [name for name in FILES if not (folder / name).is_file()]:
            raise UnavailableError(f"{folder / missing[0]} is missing", f"give the dist folder of {PACKAGE} {VERSION}")
        return folder
    kept = place()
    if not fetched():
        say(f"fetching {PACKAGE} {VERSION} with npm, once; it is kept in {kept}")
        write_files(kept, _packed(kept.parent))
    return kept


def place() -> Path:
    """Where the package is kept."""
    return cache_root() / PACKAGE / VERSION


def fetched() -> bool:
    """Whether it is there."""
    return all((place() / name).is_file() for name in FILES)


def _fix() -> str:
    return f"install Node.js, or unpack the package's dist folder into {place()} (for a demo: --onnxruntime-web DIR)"


def _packed(near: Path) -> dict[str, bytes]:
    """The package's files by name; npm checks what it fetches against the registry's hash."""
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError(f"{PACKAGE} is not here, and npm, which fetches it, is not installed", _fix())
    with temporary_folder(near) as temporary:
        command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--pack-destination", str(temporary)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)  # noqa: S603
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"npm did not fetch {PACKAGE} in {PATIENCE_S:.0f} s", _fix()) from None
        packed = next(temporary.glob("*.tgz"), None)
        if done.returncode or packed is None:
            why = (done.stderr.strip().splitlines() or ["it says nothing"])[0]
            raise UnavailableError(f"npm cannot fetch {PACKAGE}: {why}", _fix())
        return _unpacked(packed)


def _unpacked(packed: Path) -> dict[str, bytes]:
    contents = {}
    with tarfile.open(packed) as archive:
        for name in FILES:
            try:
                file = archive.extractfile(f"package/dist/{name}")
            except KeyError:
                raise UnavailableError(f"{packed.name} holds no {name}", _fix()) from None
            assert file is not None
            contents[name] = file.read()
    return contents
