"""A model file that we did not make: what it takes and gives, found by opening it aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import MANIFEST, Artifact, Manifest
from pipeline.aside import Aside
from pipeline.errors import UnavailableError, UsageError
from pipeline.plugin import discover
from pipeline.runtime import Port, Ports, Runtime
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = {
    ".onnx": "onnx",
    ".ort": "ort",
    ".pt": "torchscript",
    ".torchscript": "torchscript",
    ".pt2": "pt2",
    ".pte": "pte",
    ".tflite": "tflite",
}
PROGRAMS = ("torchscript", "pt2")
NUMBERS = ("float32", "uint8")
RANK = 4  # N, C, H, W
UNKNOWN = Ports((Port((None,) * RANK, "float32"),))


@dataclass(frozen=True)
class Stranger:
    """A file with a manifest that says as much as can be known of it.

    Attributes:
        shape: (channels, height, width). dtype: of its input, "float32" or "uint8".
    """

    name: str
    artifact: Artifact
    shape: tuple[int, ...]
    dtype: str

    def noise(self, batch: int) -> NDArray[np.float32] | NDArray[np.uint8]:
        """Input of the right shape; how fast a network is does not depend on what it sees."""
        import numpy as np

        rng = np.random.default_rng(0)
        if self.dtype == "uint8":
            return rng.integers(0, 256, (batch, *self.shape), dtype=np.uint8)
        return rng.standard_normal((batch, *self.shape), dtype=np.float32)

    def batches(self, wanted: Sequence[int]) -> tuple[int, ...]:
        """The numbers of images a call that it takes, of those wanted."""
        own = self.artifact.manifest.batch
        return (own,) if own else tuple(dict.fromkeys(wanted))


def looked_at(path: Path, aside: Aside, shape: tuple[int, int, int] | None = None, trusted: bool = False) -> Stranger:
    """What a file takes.

    Args:
        path: an artifact's folder, or a model file.

    Raises:
        UsageError: it is not there, or no classifier of one image input.
        UnavailableError: it cannot be opened, or is a program that nobody vouches for.
    """
    if (path / MANIFEST).is_file():
        artifact = Artifact.load(path)
        taken = artifact.manifest.input
        return Stranger(str(path), artifact, taken.shape, taken.dtype)
    if not path.is_file() or path.suffix not in FORMATS:
        what = f"is no {', '.join(FORMATS)} file" if path.is_file() else "is neither a model file nor an artifact"
        raise UsageError(f"{path} {what}", "give an ONNX, TorchScript or .pt2 file, or a folder with a manifest.json")
    format_ = FORMATS[path.suffix]
    if format_ in PROGRAMS and not trusted:
        raise UnavailableError(f"{path} is a program, and nobody vouches for it", "add --trust if you know its maker")
    told = aside.do(ports_of, _opener(format_), path)
    return _described(path, format_, told or UNKNOWN, shape)


def _opener(format_: str) -> Runtime:
    """An installed runtime that opens the format."""
    known = [plugin for plugin in discover("runtime").values() if not plugin.missing()]
    return next(plugin() for plugin in known if plugin.opens(format_))  # type: ignore[attr-defined,return-value]


def _described(path: Path, format_: str, told: Ports, shape: tuple[int, int, int] | None) -> Stranger:
    if len(told.inputs) != 1:
        raise UsageError(f"{path} takes {len(told.inputs)} inputs; an image classifier takes one")
    (sizes, numbers), own = told.inputs[0], told.inputs[0].shape[1:]
    if len(sizes) != RANK or numbers not in NUMBERS:
        text = "×".join("?" if size is None else str(size) for size in sizes)
        raise UsageError(f"{path} takes {text} of {numbers}; images are float32 or uint8, N×C×H×W")
    found = tuple(mine or given or 0 for mine, given in zip(own, shape or (0, 0, 0), strict=True))
    if 0 in found or (shape and found != shape):
        raise UsageError(f"{path} takes images of {_text(own)}", "say which with --input, for example 3x224x224")
    _check_outputs(path, told.outputs)
    return Stranger(str(path), unvouched(path, format_, sizes[0] or 0, found), found, numbers)


def _text(sizes: Sequence[int | None]) -> str:
    return "×".join("any" if size is None else str(size) for size in sizes)


def _check_outputs(path: Path, outputs: Sequence[Port]) -> None:
    shapes = [port.shape for port in outputs]
    if outputs and (len(shapes) != 1 or len(shapes[0]) != 2):
        found = ", ".join(_text(sizes) for sizes in shapes)
        raise UsageError(f"{path} gives {found}; a classifier gives one N×K output, K numbers an image")


def unvouched(path: Path, format_: str, batch: int, shape: tuple[int, ...]) -> Artifact:
    """The file with a manifest of what is known; nothing vouches for it."""
    channels, height, width = shape
    color = {"mean": (0.5,) * channels, "std": (0.25,) * channels, "color": "RGB" if channels == 3 else "L"}
    manifest = Manifest(
        recipe=path.stem,
        format=format_,
        file=path.name,
        integer=False,
        batch=batch,
        input=InputSpec(size=(height, width), resize=max(height, width), **color),
        classes=(),
        params=0,
        macs=0,
        lineage=(),
        tools={},
    )
    return Artifact(path.parent, manifest)


def ports_of(runtime: Runtime, path: Path) -> Ports | None:
    """In the process aside."""
    return runtime.ports(path)
