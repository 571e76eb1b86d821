"""What stays float in a prepared network because no int8 kernel computes it."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import fx

aten: Any = torch.ops.aten

# They move numbers of any kind.
MOVING = {
    *(aten.view.default, aten.reshape.default, aten.permute.default, aten.transpose.int, aten.squeeze.dim),
    *(aten.unsqueeze.default, aten.expand.default, aten.cat.default, aten.chunk.default, aten.split.Tensor),
    *(aten.slice.Tensor, aten.select.int, aten.contiguous.default, aten.clone.default, operator.getitem),
}
IMAGE_RANK, HEIGHT_AND_WIDTH = 4, [2, 3]


def tell_left(prepared: fx.GraphModule, floats: Collection[str], warn: Callable[[str], None]) -> None:
    """Say so, where there is something; ``floats`` are layers for which that was asked."""
    counts = Counter(left_float(prepared, floats))
    if counts:
        kinds = ", ".join(f"{kind} ({count})" if count > 1 else kind for kind, count in counts.items())
        warn(f"no int8 kernel computes these operators, which stay float: {kinds}")


def left_float(prepared: fx.GraphModule, floats: Collection[str] = ()) -> tuple[str, ...]:
    """Kinds of the operators, in the graph's order, each as often as it occurs."""
    found = [node for node in _unannotated(prepared) if node.name not in floats]
    return tuple(str(node.target).removeprefix("aten.").partition(".")[0] for node in found)


def _unannotated(prepared: fx.GraphModule) -> Iterator[fx.Node]:
    for node in prepared.graph.nodes:
        value = node.meta.get("val")
        computes = node.op == "call_function" and node.target not in MOVING and not _is_pool(node)
        floating = isinstance(value, torch.Tensor) and value.is_floating_point()
        if computes and floating and "quantization_annotation" not in node.meta:
            yield node


def _is_pool(node: fx.Node) -> bool:
    """A mean over height and width, which the export makes a pool that has an integer kernel."""
    if node.target is not aten.mean.dim:
        return False
    _, axes, *keeps = node.args
    rank = node.meta["val"].ndim + (0 if keeps and keeps[0] else len(axes))  # type: ignore[arg-type]
    return rank == IMAGE_RANK and sorted(axis % rank for axis in axes) == HEIGHT_AND_WIDTH  # type: ignore[union-attr]
