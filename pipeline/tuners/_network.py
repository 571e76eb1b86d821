"""The layers of a network, in order, read off its graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, get_args

from torch import nn

from pipeline.pruners._operations import function_operation, module_operation
from pipeline.pruners._trace import traced
from pipeline.tuners._layers import Axis, Following, Layer, LayerShape

if TYPE_CHECKING:
    from torch import fx

    from pipeline.pruners.groups import Features, Groups

# Operations that take as long as those on the right.
ALIKE = {"hardtanh": "relu6", "mul": "multiply", "imul": "multiply", "iadd": "add", "adaptive_avg_pool2d": "mean"}
PAIRWISE = ("add", "multiply")


def layers_of(module: nn.Module, shape: Sequence[int], groups: Groups) -> list[Layer]:
    """Every convolution and linear layer, with what follows it, in the order in which they run.

    Args:
        shape: (C, H, W) of one image. groups: of this module.
    """
    graph = traced(module, shape)
    modules, after = dict(graph.named_modules()), _followings(graph)
    known = {layer.name: layer for layer in groups.layers}
    found = []
    for node in _weighted(graph):
        layer = known[str(node.target)]
        outputs = axis_of(layer.makes, groups)
        inputs = outputs if layer.reads is None else axis_of(layer.reads, groups)
        kind = shape_of(modules[layer.name], _size(node.all_input_nodes[0]), after[node], layer.reads is None)
        found.append(Layer(layer.name, kind, inputs, outputs))
    return found


def axis_of(features: Features, groups: Groups) -> Axis:
    """What stands along an axis, by space; those that are never pruned counted together."""
    counts = features.counts()
    parts = tuple((space, count, groups.sizes[space]) for space, count in counts.items() if space in groups.sizes)
    return Axis(sum(counts.values()) - sum(count for _, count, _ in parts), parts)


def shape_of(layer: nn.Module, size: tuple[int, int], after: Sequence[str], depthwise: bool) -> LayerShape:
    """A convolution or linear layer whose input has that height and width."""
    if isinstance(layer, nn.Linear):
        return LayerShape(kind="linear", after=after)
    assert isinstance(layer, nn.Conv2d)
    left, right, top, bottom = layer._reversed_padding_repeated_twice  # numbers, also where padding is a word
    return LayerShape(
        kind="depthwise" if depthwise else "convolution",
        size=size,
        kernel=layer.kernel_size,
        stride=layer.stride,
        padding=(top, left, bottom, right),
        dilation=layer.dilation,
        groups=1 if depthwise else layer.groups,
        after=after,
    )


def _weighted(graph: fx.GraphModule) -> Iterator[fx.Node]:
    modules = dict(graph.named_modules())
    for node in graph.graph.nodes:
        if node.op == "call_module" and isinstance(modules[str(node.target)], nn.Conv2d | nn.Linear):
            yield node


def _followings(graph: fx.GraphModule) -> Mapping[fx.Node, list[str]]:
    """By layer, the known operations on what it gave.

    An operation belongs to the layer that gave its input, the later one of two. Those that are not known are
    left out: what they take is found when the whole network is measured.
    """
    modules = dict(graph.named_modules())
    after: dict[fx.Node, list[str]] = {node: [] for node in _weighted(graph)}
    owner = {node: node for node in after}
    order = {node: number for number, node in enumerate(after)}
    for node in graph.graph.nodes:
        makers = [owner[source] for source in _standing_for(node) if source in owner]
        if node in after or not makers:
            continue
        owner[node] = max(makers, key=order.__getitem__)
        operation = _operation(node, modules)
        if operation in get_args(Following):
            after[owner[node]].append(operation)
    return after


def _operation(node: fx.Node, modules: Mapping[str, nn.Module]) -> str:
    """Its name; nothing for a sum or a product with a number, which is part of another operation."""
    called = node.op == "call_module"
    name = module_operation(modules[str(node.target)]) if called else function_operation(node.target)
    alike = ALIKE.get(name, name)
    return "" if alike in PAIRWISE and len(node.all_input_nodes) < 2 else alike


def _standing_for(node: fx.Node) -> list[fx.Node]:
    """The inputs whose numbers the result's stand for: the gate of a product is none of them."""
    alike = [source for source in node.all_input_nodes if _shape(source) == _shape(node)]
    return alike or node.all_input_nodes[:1]


def _size(node: fx.Node) -> tuple[int, int]:
    """(height, width) of an image; (1, 1) of a row."""
    height, width = (*_shape(node)[2:], 1, 1)[:2]
    return height, width


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))
