"""Which channels must be kept or removed together, read off the traced graph.

Every tensor in the graph has a *layout*: a tuple of segments ``(space, repeat)`` that says
which channel space its channels come from, and how many neighbouring features each channel
became (more than one after a flatten). A convolution or linear layer opens a new space; an
addition merges the spaces of its operands; everything else passes its input's layout on.
A space that cannot be followed is frozen, and a frozen space is never pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.errors import StageFailed

if TYPE_CHECKING:
    from torch import fx, nn

    Layout = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Layer:
    """One layer with channels: which spaces it reads and which it makes.

    Attributes:
        reads: layout of its input; None where its weight has no input axis (BatchNorm,
            depthwise), because its channels follow ``makes`` alone.
        makes: layout of its output.
    """

    name: str
    reads: Layout | None
    makes: Layout


@dataclass
class Spaces:
    """Channel spaces under construction: sizes, merges (union-find) and frozen ones."""

    sizes: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    frozen: set[int] = field(default_factory=set)

    def open(self, size: int) -> int:
        self.sizes.append(size)
        self.parent.append(len(self.parent))
        return len(self.parent) - 1

    def root(self, space: int) -> int:
        while self.parent[space] != space:
            space = self.parent[space]
        return space

    def merge(self, first: Layout, second: Layout) -> None:
        """Make two layouts of equal shape one; freeze both where their shapes differ."""
        if [(self.sizes[s], r) for s, r in first] != [(self.sizes[s], r) for s, r in second]:
            self.freeze(first)
            self.freeze(second)
            return
        for (one, _), (other, _) in zip(first, second, strict=True):
            one, other = self.root(one), self.root(other)
            self.parent[other] = one

    def freeze(self, layout: Layout) -> None:
        self.frozen |= {space for space, _ in layout}


@dataclass(frozen=True)
class Groups:
    """The result: prunable spaces with their sizes, and the layers in graph order."""

    layers: tuple[Layer, ...]
    sizes: dict[int, int]
    frozen: frozenset[int]
    root: Callable[[int], int]

    @property
    def prunable(self) -> tuple[int, ...]:
        return tuple(space for space in self.sizes if space not in self.frozen)


def find_groups(module: nn.Module, shape: Sequence[int]) -> Groups:
    """Trace ``module`` on one (C, H, W) image and follow its channels.

    Raises:
        StageFailed: the module cannot be traced; names the operation.
    """
    import torch
    from torch import fx
    from torch.fx.passes.shape_prop import ShapeProp

    try:
        graph_module = fx.symbolic_trace(module)
        ShapeProp(graph_module).propagate(torch.zeros(1, *shape))
    except Exception as error:
        raise StageFailed(f"the network cannot be traced for pruning: {str(error).splitlines()[0]}") from error
    follower = _Follower(dict(graph_module.named_modules()))
    for node in graph_module.graph.nodes:
        follower.visit(node)
    return follower.groups()


class _Follower:
    """Walks the graph once, in order, keeping the layout of every tensor."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.modules = modules
        self.spaces = Spaces()
        self.layouts: dict[fx.Node, Layout] = {}
        self.layers: list[Layer] = []

    def groups(self) -> Groups:
        spaces = self.spaces
        roots = sorted({spaces.root(space) for space in spaces.parent})
        frozen = frozenset(spaces.root(space) for space in spaces.frozen)
        sizes = {root: spaces.sizes[root] for root in roots}
        return Groups(tuple(self.layers), sizes, frozen, spaces.root)

    def visit(self, node: fx.Node) -> None:
        inputs = [self.layouts[source] for source in node.all_input_nodes if source in self.layouts]
        if node.op == "output":
            for layout in inputs:
                self.spaces.freeze(layout)
        elif node.op in ("placeholder", "get_attr"):
            self.layouts[node] = self._frozen(node)
        elif node.op == "call_module":
            self.layouts[node] = self._module(node, self.modules[str(node.target)], inputs)
        elif node.op in ("call_function", "call_method"):
            self.layouts[node] = self._function(node, inputs)

    def _module(self, node: fx.Node, layer: nn.Module, inputs: list[Layout]) -> Layout:
        from torch import nn

        name = str(node.target)
        first_use = [known for known in self.layers if known.name == name]
        if first_use:  # shared weights: both uses would have to agree
            return self._unknown(node, [*inputs, first_use[0].makes, first_use[0].reads or ()])
        if isinstance(layer, nn.Conv2d | nn.Linear):
            return self._producer(node, name, layer, inputs[0])
        if isinstance(layer, nn.BatchNorm2d):
            self.layers.append(Layer(name, None, inputs[0]))
            return inputs[0]
        if type(layer).__name__.lower() in _KEEPING_LAYERS:
            return self._passed_on(node, inputs[0])
        return self._unknown(node, inputs)

    def _producer(self, node: fx.Node, name: str, layer: nn.Module, read: Layout) -> Layout:
        from torch import nn

        groups = getattr(layer, "groups", 1)
        width = int(getattr(layer, "out_channels", 0) or getattr(layer, "out_features", 0))
        if isinstance(layer, nn.Linear) and _rank(node) != 2:
            return self._unknown(node, [read])  # over the last axis, which is not the channels'
        if groups == 1:
            made: Layout = ((self.spaces.open(width), 1),)
            self.layers.append(Layer(name, read, made))
            return made
        if groups == layer.in_channels == width:
            self.layers.append(Layer(name, None, read))
            return read
        return self._unknown(node, [read])

    def _function(self, node: fx.Node, inputs: list[Layout]) -> Layout:
        name = getattr(node.target, "__name__", str(node.target)).strip("_")
        if name in ("add", "iadd", "mul", "imul") and inputs:
            for other in inputs[1:]:
                self.spaces.merge(inputs[0], other)
            return inputs[0]
        if name in ("cat", "concat") and node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0) == 1:
            return tuple(segment for layout in inputs for segment in layout)
        if len(inputs) == 1 and name in _KEEPING and not (name == "mean" and not _over_pixels(node)):
            return self._passed_on(node, inputs[0])
        return self._unknown(node, inputs)

    def _passed_on(self, node: fx.Node, layout: Layout) -> Layout:
        """The same channels; flattened ones each become ``height × width`` features."""
        features = _channels(node)
        width = sum(self.spaces.sizes[space] * repeat for space, repeat in layout)
        if features is None or not width or features % width:
            return self._unknown(node, [layout])
        return tuple((space, repeat * (features // width)) for space, repeat in layout)

    def _unknown(self, node: fx.Node, inputs: list[Layout]) -> Layout:
        for layout in inputs:
            self.spaces.freeze(layout)
        return self._frozen(node)

    def _frozen(self, node: fx.Node) -> Layout:
        layout: Layout = ((self.spaces.open(_channels(node) or 0), 1),)
        self.spaces.freeze(layout)
        return layout


# Operations that treat every channel alike and by itself.
_KEEPING = frozenset(
    {"relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "sigmoid", "gelu", "dropout", "contiguous"}
    | {"adaptive_avg_pool2d", "avg_pool2d", "max_pool2d", "flatten", "mean"}
)
_KEEPING_LAYERS = frozenset({name.replace("_", "") for name in _KEEPING} | {"identity", "dropout2d", "zeropad2d"})


def _over_pixels(node: fx.Node) -> bool:
    """A mean over height and width of a rank-4 tensor."""
    axes: Any = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
    return isinstance(axes, Sequence) and sorted(int(axis) % 4 for axis in axes) == [2, 3]


def _channels(node: fx.Node) -> int | None:
    """Size of the second axis of what the node gives; None where it is not a tensor."""
    shape = _shape(node)
    return int(shape[1]) if len(shape) > 1 else None


def _rank(node: fx.Node) -> int:
    return len(_shape(node))


def _shape(node: fx.Node) -> Sequence[int]:
    meta: Any = node.meta.get("tensor_meta")
    return getattr(meta, "shape", ())
