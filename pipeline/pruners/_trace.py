"""A module as a graph, with the shape of every tensor in it."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from pipeline.errors import StageFailed

SHAPE = "shape"
FIX = "keep branches on values and sizes out of forward, or prune before they are added"


class Shapes(fx.Interpreter):
    """Runs a graph once and notes with every node the shape of what it gives."""

    def run_node(self, n: fx.Node) -> Any:
        try:
            result = super().run_node(n)
        except Exception as error:
            operation = getattr(n.target, "__name__", n.target)
            raise RuntimeError(f"{operation} ({n.name}): {_first_line(error)}") from error
        n.meta[SHAPE] = shape_of(result)
        return result


def shape_of(value: Any) -> Any:
    """The shape of a tensor, or those of the tensors in a list or tuple; None for anything else."""
    if isinstance(value, list | tuple):
        return [shape_of(item) for item in value]
    return value.shape if isinstance(value, torch.Tensor) else None


def traced(module: nn.Module, shape: Sequence[int]) -> fx.GraphModule:
    """The graph of ``module`` for one (C, H, W) image; the module stays as it is.

    Raises:
        StageFailed: it cannot be traced; names the operation and the line.
    """
    try:
        graph = fx.symbolic_trace(module)
        interpreter = Shapes(graph)
        interpreter.extra_traceback = False
        with torch.no_grad():
            interpreter.run(torch.zeros(1, *shape))
    except Exception as error:
        cause = f"the network cannot be traced for pruning: {_first_line(error)}"
        raise StageFailed("\n".join([cause, *_place(error)]), FIX) from error
    return graph


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _place(error: Exception) -> list[str]:
    """The network's own line that could not be traced."""
    libraries = (str(Path(torch.__file__).parent), __file__, "<")
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(libraries)]
    return [f"in {own[-1].name}, {Path(own[-1].filename).name}:{own[-1].lineno}: {own[-1].line}"] if own else []
