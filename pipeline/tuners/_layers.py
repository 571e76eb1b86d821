"""A layer but for its channels, and how many of these it has for given widths of its network's groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.spec import Value

Kind = Literal["convolution", "depthwise", "linear"]
Following = Literal["relu", "relu6", "hardswish", "hardsigmoid", "silu", "sigmoid", "add", "multiply", "mean"]
Pair = tuple[int, int]
Point = tuple[int, int]  # features of a layer's input, and of its output
Widths = Mapping[int, int]  # of spaces, by their number


class LayerShape(Value):
    """What is timed once for all layers that share it.

    Attributes:
        size: (height, width) of its input; (1, 1) of a linear layer.
        kernel, stride, dilation: (down, across). padding: (top, left, bottom, right).
        groups: of a grouped convolution.
        after: what is done to its result before the next layer reads it, in order.
    """

    kind: Kind
    size: Pair = (1, 1)
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    after: tuple[Following, ...] = ()

    @property
    def result(self) -> Pair:
        """(height, width) of what it gives.

        >>> LayerShape(kind="convolution", size=(7, 8), kernel=(3, 3), stride=(2, 2), padding=(1, 1, 1, 1)).result
        (4, 4)
        """
        top, left, bottom, right = self.padding
        edges = zip(self.size, (top + bottom, left + right), self.kernel, self.stride, self.dilation, strict=True)
        down, across = ((edge + pad - (kernel - 1) * apart - 1) // step + 1 for edge, pad, kernel, step, apart in edges)
        return down, across

    def weights(self, inputs: int, outputs: int) -> int:
        """How many it has, but for biases."""
        depth = 1 if self.kind == "depthwise" else inputs // self.groups
        return outputs * depth * self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class Axis:
    """What stands along an axis of a layer.

    Attributes:
        fixed: features that never change.
        parts: (space, features of it, channels of it) in the whole network: a flattened channel is many features.
    """

    fixed: int
    parts: tuple[tuple[int, int, int], ...] = ()

    def width(self, widths: Widths) -> int:
        """Features, if the spaces have those widths; those left out are whole.

        >>> Axis(4, ((1, 32, 8),)).width({1: 6})
        28
        """
        return self.fixed + sum(features * widths.get(space, size) // size for space, features, size in self.parts)


@dataclass(frozen=True)
class Layer:
    """A layer of a network: its shape, and what stands along its axes. name: the module's."""

    name: str
    shape: LayerShape
    inputs: Axis
    outputs: Axis

    @property
    def spaces(self) -> frozenset[int]:
        """Those whose widths it depends on."""
        return frozenset(space for axis in (self.inputs, self.outputs) for space, *_ in axis.parts)
