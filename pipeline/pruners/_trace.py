"""A module as a graph, with the shape of every tensor in it."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from pipeline.errors import StageFailed

FIX = "take branches on tensors' values out of forward, or prune before they are added"


def traced(module: nn.Module, shape: Sequence[int]) -> fx.GraphModule:
    """The graph of ``module`` for one (C, H, W) image; the module stays as it is.

    Raises:
        StageFailed: it cannot be traced; names the operation and the line.
    """
    try:
        graph = fx.symbolic_trace(module)
        with torch.no_grad():
            ShapeProp(graph).propagate(torch.zeros(1, *shape))
    except Exception as error:
        cause = f"the network cannot be traced for pruning: {str(error).splitlines()[0]}"
        raise StageFailed("\n".join([cause, *_place(error)]), FIX) from error
    return graph


def _place(error: Exception) -> list[str]:
    """The network's own line that could not be traced."""
    libraries = (str(Path(torch.__file__).parent), __file__)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(libraries)]
    return [f"in {own[-1].name}, {Path(own[-1].filename).name}:{own[-1].lineno}: {own[-1].line}"] if own else []
