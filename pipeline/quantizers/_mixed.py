"""An int8 network in which any layers can be computed in float, and only what that changes is computed again."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch import fx
from torch.fx.node import map_arg

from pipeline.quantizers._annotation import CLAMPING, MOVING, makers, readers, with_bridges

Floats = tuple[str, ...]
Values = Mapping[fx.Node, Any]


class Mixed:
    """A network with ranges and rounded weights, and its float layers beside it.

    Attributes:
        layers: names of all quantized layers, in the order they run; what clamps or moves belongs to its neighbours.
        logits_node: what the network gives.
    """

    def __init__(self, prepared: fx.GraphModule, exact: Mapping[str, torch.Tensor]) -> None:
        """Args: prepared: as ``PostTraining.rounded`` gives it. exact: float parameters by name."""
        self.prepared, self.exact = prepared, exact
        nodes = list(prepared.graph.nodes)
        self._layers = [node for node in nodes if node.op == "call_function" and _is_layer(node)]
        self.layers: Floats = tuple(node.name for node in self._layers)
        [self.logits_node] = nodes[-1].all_input_nodes

    def ordered(self, names: Collection[str]) -> Floats:
        """Those layers in the order they run."""
        return tuple(name for name in self.layers if name in names)

    def units(self) -> tuple[Floats, ...]:
        """The least sets of layers that, kept float, spare something from rounding.

        A layer alone spares its weights. A tensor is spared where all layers around it are float.
        """
        around = (self.ordered(set(_around(node))) for node in self.prepared.graph.nodes if node.op == "call_module")
        return tuple(dict.fromkeys([*((name,) for name in self.layers), *(unit for unit in around if unit)]))

    def run(self, x_1CHW: torch.Tensor, floats: Collection[str]) -> Values:
        """Every value of the network, for one image, with those layers in float."""
        return self._run(x_1CHW, floats, {})

    def again(self, before: Values, was: Collection[str], floats: Collection[str]) -> torch.Tensor:
        """logits_1K with other layers in float, from the values of a run where ``was`` were."""
        changed = self._bridged(was) ^ self._bridged(floats)
        stale: set[fx.Node] = set()
        for node in self.prepared.graph.nodes:
            if node.name in changed or not stale.isdisjoint(node.all_input_nodes):
                stale.add(node)
        kept = {node: value for node, value in before.items() if node not in stale}
        logits_1K: torch.Tensor = self._run(None, floats, kept)[self.logits_node]
        return logits_1K

    def _run(self, x_1CHW: torch.Tensor | None, floats: Collection[str], kept: Values) -> Values:
        interpreter = _Interpreter(self.prepared, self.exact, self._bridged(floats))
        with torch.no_grad():
            interpreter.run(x_1CHW, initial_env=dict(kept))
        return interpreter.env

    def _bridged(self, floats: Collection[str]) -> frozenset[str]:
        return with_bridges(self.prepared.graph, frozenset(floats))


class _Interpreter(fx.Interpreter):
    """Gives float layers their float parameters, and what other float layers give before it is rounded."""

    def __init__(self, prepared: fx.GraphModule, exact: Mapping[str, torch.Tensor], floats: frozenset[str]) -> None:
        super().__init__(prepared, garbage_collect_values=False)
        self.exact, self.floats = exact, floats

    def fetch_args_kwargs_from_env(self, n: fx.Node) -> Any:
        if n.name not in self.floats:
            return super().fetch_args_kwargs_from_env(n)
        return map_arg(n.args, self._unrounded), map_arg(n.kwargs, self._unrounded)

    def _unrounded(self, node: fx.Node) -> Any:
        source: Any = node.args[0] if node.op == "call_module" else node
        if source.op == "get_attr":
            return self.exact.get(str(source.target), self.env[source])
        return self.env[source if source.op == "placeholder" or source.name in self.floats else node]


def _is_layer(node: fx.Node) -> bool:
    """It computes, from quantized values."""
    quantized = any(source.op == "call_module" for source in node.all_input_nodes)
    return quantized and node.target not in CLAMPING | MOVING


def _around(quantizer: fx.Node) -> Iterator[str]:
    """Layers that give or read what is quantized there."""
    yield from (node.name for node in [*makers(quantizer), *readers(quantizer)])
