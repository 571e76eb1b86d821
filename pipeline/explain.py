"""``edgewright explain``: why an int8 ONNX file is as fast, and as noisy, as it is on this machine."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.aside import Aside
from pipeline.bench import bench
from pipeline.errors import UsageError
from pipeline.measure.machine import cpu_flags, machine_facts, versions
from pipeline.measure.statistics import sqnr_db
from pipeline.progress import Progress, silent
from pipeline.results import Conditions, Latency
from pipeline.rewrites.exposed import write_exposed
from pipeline.rewrites.float_twin import write_float_twin
from pipeline.rewrites.islands import islands
from pipeline.runtime import Kernel
from pipeline.runtimes.onnx_runtime import OnnxRuntime, unoptimized
from pipeline.spec import Value
from pipeline.stranger import Stranger, looked_at
from pipeline.study import Benchmark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RUNTIME = "onnxruntime"
TWIN = "float-twin.onnx"
LAYOUT = re.compile(r"_token_\d+$|_nchwc$")  # what the runtime adds to a node's name
ADDED = re.compile(r"^node_|_token_\d+$|_nchwc$")  # and PyTorch's exporter
DOT_PRODUCTS = {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"}
IMAGES = 4


class Operator(Value):
    """One operator that ran.

    Attributes:
        share: of the time of all. integer: it computes with integers.
        sqnr_db: signal to noise of what it gives, against the same weights without rounded activations.
    """

    name: str
    kernel: str
    integer: bool
    ms: float
    share: float
    sqnr_db: float | None


class FloatIsland(Value):
    """Float operators among integer ones.

    Attributes:
        share: of the time, with what quantizes and dequantizes around them.
    """

    names: tuple[str, ...]
    operators: tuple[str, ...]
    reason: str
    share: float


class Explanation(Value):
    """What ``edgewright explain`` found.

    Attributes:
        compared: the float file, or that it is the file's own twin. latency: of int8; its ratio is to float.
        integer_share: of the operators' time, in integer kernels. images: "probe" or "noise".
    """

    file: str
    compared: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    latency: Latency
    conditions: Conditions
    integer_share: float
    images: str
    operators: tuple[Operator, ...]
    islands: tuple[FloatIsland, ...]
    verdict: str


def explain(
    path: Path, benchmark: Benchmark, float_path: Path | None = None, progress: Progress = silent
) -> Explanation:
    """Profile, compare with float, and say why.

    Args:
        path: an int8 ONNX file, or its artifact's folder.
        float_path: what to compare with; the file's own float twin unless given.

    Raises:
        UsageError: it is no ONNX file with QuantizeLinear and DequantizeLinear.
    """
    with Aside() as aside, tempfile.TemporaryDirectory() as folder:
        stranger = looked_at(path, aside)
        if stranger.artifact.manifest.format != "onnx":
            raise UsageError(f"{path} is no ONNX file", "explain reads the profile of ONNX Runtime")
        twin = Path(folder) / TWIN
        aside.do(write_float_twin, stranger.artifact.path, twin)
        x_NCHW = images_for(stranger)
        kernels: tuple[Kernel, ...] = aside.do(profile, stranger, x_NCHW[:1], benchmark.threads)
        found: list[FloatIsland] = aside.do(islands_of, stranger, kernels)
        noise: dict[str, float] = aside.do(activation_noise, stranger.artifact.path, twin, x_NCHW)
        timed = bench([float_path or twin, stranger.artifact.path], benchmark, [RUNTIME], progress=progress)
    latency, total = timed.rows[-1].latency, sum(kernel.ms for kernel in kernels) or 1.0
    operators = tuple(_operator(kernel, total, noise) for kernel in kernels)
    return Explanation(
        file=str(path),
        compared=str(float_path) if float_path else "the same layers in float",
        machine=machine_facts(),
        versions=versions(),
        latency=latency,
        conditions=timed.conditions,
        integer_share=sum(one.share for one in operators if one.integer),
        images="probe" if _has_probe(stranger) else "noise",
        operators=operators,
        islands=tuple(found),
        verdict=verdict(latency, operators, found),
    )


def images_for(stranger: Stranger) -> NDArray[np.float32] | NDArray[np.uint8]:
    """The artifact's own probe images; noise for a file that has none."""
    if not _has_probe(stranger):
        return stranger.noise(IMAGES)
    return stranger.artifact.manifest.input.normalize(stranger.artifact.probe().fitted_NHWC[:IMAGES])


def _has_probe(stranger: Stranger) -> bool:
    return bool(stranger.artifact.manifest.sha256)


def profile(stranger: Stranger, x_1CHW: NDArray[np.float32], threads: int) -> tuple[Kernel, ...]:
    """In the process aside."""
    return OnnxRuntime().profile(stranger.artifact, x_1CHW, threads)


def islands_of(stranger: Stranger, kernels: Sequence[Kernel]) -> list[FloatIsland]:
    """In the process aside: what stayed float, the slowest first."""
    total = sum(kernel.ms for kernel in kernels) or 1.0
    times = {kernel.name: kernel.ms for kernel in kernels}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        OnnxRuntime().optimized(stranger.artifact, path)
        found = islands(path)
    told = [
        FloatIsland(
            names=island.names,
            operators=island.operators,
            reason=island.reason,
            share=sum(times.get(name, 0.0) for name in island.names) / total,
        )
        for island in found
    ]
    return sorted(told, key=lambda island: -island.share)


def activation_noise(path: Path, twin: Path, x_NCHW: NDArray[np.float32]) -> dict[str, float]:
    """In the process aside: signal to noise in dB of what every operator gives, by the operator's name."""
    rounded, exact = (_results(file, x_NCHW) for file in (path, twin))
    return {
        name: _sqnr_db(exact[name], rounded[name])
        for name in exact
        if name in rounded and exact[name].shape == rounded[name].shape
    }


def _results(path: Path, x_NCHW: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What every operator gives, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        shown = Path(folder) / "exposed.onnx"
        names = write_exposed(path, shown)
        return {names[value]: array for value, array in unoptimized(shown, x_NCHW).items() if value in names}


def _sqnr_db(exact: NDArray[np.float32], rounded: NDArray[np.float32]) -> float:
    signal, noise = (float((part.astype("float64") ** 2).sum()) for part in (exact, exact - rounded))
    return sqnr_db(signal, noise)


def _operator(kernel: Kernel, total: float, noise: Mapping[str, float]) -> Operator:
    return Operator(
        name=ADDED.sub("", kernel.name),
        kernel=kernel.kernel,
        integer=kernel.integer,
        ms=round(kernel.ms, 5),
        share=kernel.ms / total,
        sqnr_db=noise.get(LAYOUT.sub("", kernel.name)),
    )


def verdict(latency: Latency, operators: Sequence[Operator], found: Sequence[FloatIsland]) -> str:
    """One sentence: how much int8 gives here, and because of what."""
    ratio, integer = latency.ratio, sum(one.share for one in operators if one.integer)
    gain = f"int8 gives {ratio.value:.2f}× [{ratio.low:.2f}, {ratio.high:.2f}] of float's speed here"
    return f"{gain}, because {'; '.join(_causes(integer, operators, found))}."


def _causes(integer: float, operators: Sequence[Operator], found: Sequence[FloatIsland]) -> list[str]:
    causes = [f"{100 * integer:.0f} % of its time is spent in integer kernels"]
    if found:
        first = found[0]
        what = ", ".join(dict.fromkeys(first.operators)) or "quantizing again"
        share = 100 * sum(island.share for island in found)
        causes.append(f"{len(found)} float island(s) take {share:.0f} %, most of it {what}: {first.reason}")
    around = sum(one.share for one in operators if one.kernel in ("QuantizeLinear", "DequantizeLinear"))
    if around > 0.05:
        causes.append(f"{100 * around:.0f} % goes into quantizing and dequantizing")
    if not DOT_PRODUCTS & cpu_flags():
        causes.append("this processor has no dot product of bytes (VNNI on x86, dotprod on Arm)")
    elementwise = sum(one.share for one in operators if one.kernel in ("QLinearMul", "QLinearAdd", "QLinearSigmoid"))
    if elementwise > 0.15:
        causes.append(f"{100 * elementwise:.0f} % goes into additions and products that float kernels do in passing")
    return causes
