"""ONNX Runtime on the CPU."""

from __future__ import annotations

import json
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import Artifact, Manifest
from pipeline.errors import UnavailableError
from pipeline.runtime import Kernel, Port, Ports, Runtime, saturating

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

PROFILED_CALLS, CALLS_TO_WARM_UP = 20, 5
TIMED = "_kernel_time"
# Without VNNI the int8 kernels of x86 add products in 16 bits, which saturate; this asks for those that do not. Other
# processors do not know it. docs/decisions/0026-exact-kernels-without-vnni.md
EXACT = ("session.x64quantprecision", "1")
DYNAMIC = ("DynamicQuantizeMatMul", "DynamicQuantizeLinear")  # read floats, and compute with integers or give them


class OnnxRuntime(Runtime):
    """ONNX Runtime, CPU execution provider."""

    kind: ClassVar[str] = "onnxruntime"
    format: ClassVar[str] = "onnx"
    formats: ClassVar[tuple[str, ...]] = ("ort",)
    package: ClassVar[str] = "onnxruntime"

    def refusal(self, manifest: Manifest) -> str:
        # Exact kernels are chosen when a graph is optimized, and one in ORT format is already.
        return saturating(manifest) if manifest.format == "ort" else ""

    def open(self, artifact: Artifact, threads: int) -> Session:
        session = _opened(artifact.path, _options_for(artifact, threads))
        [output] = [value.name for value in session.get_outputs()]
        [name] = [value.name for value in session.get_inputs()]
        return lambda x_NCHW: session.run([output], {name: x_NCHW})[0]

    def ports(self, path: Path) -> Ports:
        session = _opened(path, _options(1))
        inputs, outputs = session.get_inputs(), session.get_outputs()
        return Ports(tuple(map(_port, inputs)), tuple(map(_port, outputs)))

    def profile(self, artifact: Artifact, x_NCHW: NDArray[np.float32], threads: int) -> tuple[Kernel, ...]:
        with tempfile.TemporaryDirectory() as folder:
            options = _options_for(artifact, threads)
            options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
            session = _opened(artifact.path, options)
            [name] = [value.name for value in session.get_inputs()]
            for _ in range(CALLS_TO_WARM_UP + PROFILED_CALLS):
                session.run(None, {name: x_NCHW})
            return _kernels(json.loads(Path(session.end_profiling()).read_text()))

    def optimized(self, artifact: Artifact, path: Path) -> None:
        """Save the graph as the runtime runs it."""
        options = _options_for(artifact, 1)
        options.optimized_model_filepath = str(path)
        _opened(artifact.path, options)


def unoptimized(path: Path, x_NCHW: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Every output of a file by name, one image a call, each node computed as it is written."""
    import numpy as np
    import onnxruntime

    options = _options(1)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = _opened(path, options)
    [name] = [value.name for value in session.get_inputs()]
    answers = [session.run(None, {name: x_NCHW[i : i + 1]}) for i in range(len(x_NCHW))]
    names = [value.name for value in session.get_outputs()]
    return {name: np.stack(parts) for name, parts in zip(names, zip(*answers, strict=True), strict=True)}


def _options_for(artifact: Artifact, threads: int) -> Any:
    """Options with which any processor gives the answers of the file."""
    options = _options(threads)
    if artifact.manifest.integer and not artifact.manifest.portable:
        options.add_session_config_entry(*EXACT)
    return options


def _options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised as well, and warnings concern nobody
    # Idle threads that spin would slow whatever is measured next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _opened(path: Path, options: Any) -> Any:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        cause = f"onnxruntime cannot open {path}: {str(error).splitlines()[0]}"
        raise UnavailableError(cause, "export it again") from error


def _port(value: Any) -> Port:
    """Sizes that have a name instead of a number may be any."""
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in value.shape)
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    return Port(shape, {"float": "float32", "double": "float64"}.get(kind, kind))


def _kernels(events: list[dict[str, Any]]) -> tuple[Kernel, ...]:
    """Time by node, in the order the nodes run; the first calls, which allocate, left out."""
    microseconds: dict[tuple[str, str, bool], list[float]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(TIMED):
            node = (event["name"].removesuffix(TIMED), event["args"]["op_name"], _integer(event["args"]))
            microseconds.setdefault(node, []).append(event["dur"])
    return tuple(
        Kernel(name, kernel, statistics.fmean(sorted(times[CALLS_TO_WARM_UP:])[: PROFILED_CALLS // 2]) / 1e3, integer)
        for (name, kernel, integer), times in microseconds.items()
    )


def _integer(told: dict[str, Any]) -> bool:
    """Its first input is of integers that it does not turn into floats for others to compute with, or becomes so."""
    if told["op_name"] in DYNAMIC:
        return True
    types = [kind for shaped in told.get("input_type_shape", [])[:1] for kind in shaped]
    return types in (["uint8"], ["int8"]) and told["op_name"] != "DequantizeLinear"
