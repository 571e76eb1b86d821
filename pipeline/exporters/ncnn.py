"""ncnn: a graph as text and its weights apart, converted by pnnx from TorchScript."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from pipeline.errors import StageFailed
from pipeline.exporters.exporter import Exporter
from pipeline.exporters.torchscript import ExportTorchScript
from pipeline.model import Model

TOLD = 3
# Everything else that pnnx writes stays in the folder where it works.
WANTED = {"ncnnparam": ".param", "ncnnbin": ".bin"}


class ExportNcnn(Exporter):
    """ncnn's .param and .bin, by pnnx; float only."""

    format: ClassVar[str] = "ncnn"
    suffix: ClassVar[str] = ".param"
    batch: ClassVar[int] = 1  # ncnn has no batches: one image is a matrix of three dimensions
    tools: ClassVar[tuple[str, ...]] = ("torch", "torchvision", "pnnx", "ncnn")
    requires: ClassVar[tuple[str, ...]] = ("pnnx", "ncnn")
    extra: ClassVar[str] = "ncnn"

    def refusal(self, model: Model) -> str:
        # ncnn's integers are symmetric, with a scale for each layer's input, and its own tool finds them.
        return "ncnn cannot hold our int8: its activations are symmetric, ours are not" if model.integer else ""

    def write(self, model: Model, path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "model.pt"
            ExportTorchScript().write(model, source)
            convert(source, model.spec.shape, path)


def convert(source: Path, shape: tuple[int, int, int], path: Path) -> None:
    """Write the param file of a TorchScript file, and beside it the weights as float32.

    Args:
        shape: (channels, height, width) of an image.

    Raises:
        StageFailed: pnnx did not finish; tells its last lines.
    """
    import pnnx

    sizes = ",".join(map(str, (1, *shape)))
    made = [f"{kind}={path.with_suffix(suffix)}" for kind, suffix in WANTED.items()]
    command = [pnnx.EXEC_PATH, str(source), f"inputshape=[{sizes}]f32", "fp16=0", *made]
    done = subprocess.run(  # noqa: S603 (a program of ours, on files of ours)
        command, cwd=source.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode or not all(path.with_suffix(suffix).is_file() for suffix in WANTED.values()):
        last = [line for line in done.stdout.splitlines() if line.strip()][-TOLD:]
        raise StageFailed("\n".join(["pnnx could not convert the network", *last]))
