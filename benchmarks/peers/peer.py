"""What a peer is: a module with these names, that imports its packages in its functions only."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Session = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # x_NCHW -> logits_NK

# The first is what all others are compared with.
PEERS = (
    "ours",
    "ours_pruned",
    "onnxruntime_quantizer",
    "openvino_nncf",
    "executorch",
    "litert",
    "torch_eager",
    "torch_compile",
    "torch_pruning",
)
FLOAT, INT8, PRUNED = "float", "int8", "pruned"
# Of what is pruned. It is not fine-tuned, so its accuracy says nothing: it is there for its latency.
MACS_LEFT, ROUND_TO = 0.5, 8


def note_of(precision: str) -> str:
    """File of the order that holds what a reader should know of our file of that precision."""
    return f"{precision}.txt"


def pruned_note(macs: float, of: float) -> str:
    return f"{macs / 1e6:.0f} of {of / 1e6:.0f} M MACs; not fine-tuned, so accuracy is not compared"


class Made(NamedTuple):
    """A file (or folder) that a peer made.

    Attributes:
        file: what ``open`` takes.
        note: what a reader of its row should know.
    """

    file: Path
    note: str = ""


class Peer(Protocol):
    """One tool's way from a float network to answers.

    Attributes:
        TITLE: tool and runtime, for the table.
        ENVIRONMENT: its requirements are ``requirements/<ENVIRONMENT>.txt``.
        PACKAGES: distributions whose versions belong in the record.
        PRECISIONS: what it makes.
    """

    TITLE: str
    ENVIRONMENT: str
    PACKAGES: tuple[str, ...]
    PRECISIONS: tuple[str, ...]

    def make(self, order: Path, out: Path, precision: str, /) -> Made:
        """Make the file of one precision in the folder ``out`` from the work order (see ``order.py``)."""

    def open(self, path: Path, threads: int, /) -> Session:
        """What was made, ready to answer one image a call."""


def load(name: str) -> Peer:
    """A peer by name: a file of this folder, or any module's dotted name."""
    return cast("Peer", importlib.import_module(name if "." in name else f"{__package__}.{name}"))
