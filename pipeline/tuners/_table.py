"""Milliseconds of layers by width: known at some widths, interpolated between them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.tuners._layers import Layer, LayerShape, Point

MOST_WIDTHS = 6  # at which a layer is timed, of its input and of its output
MANY_WEIGHTS, FEW_WIDTHS = 2**22, 3


def widths_between(width: int, step: int, most: int) -> tuple[int, ...]:
    """Multiples of ``step`` up to ``width``, and that itself; coarser ones where they were more than ``most``.

    >>> widths_between(32, 8, 6), widths_between(20, 8, 6), widths_between(6, 8, 6), widths_between(960, 8, 4)
    ((8, 16, 24, 32), (8, 16, 20), (6,), (240, 480, 720, 960))
    """
    coarse = step * -(-width // (step * most))
    return (*range(coarse, width, coarse), width)


@dataclass(frozen=True)
class Grid:
    """One layer's milliseconds.

    Attributes:
        inputs, outputs: widths at which it is known, rising.
        ms_IO: a row for each width of the input.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    ms_IO: tuple[tuple[float, ...], ...]

    def ms(self, inputs: int, outputs: int) -> float:
        """Between four neighbours; beyond the ends in proportion to the width."""
        return _between(self.inputs, [_between(self.outputs, row_O, outputs) for row_O in self.ms_IO], inputs)


def _between(known: Sequence[int], ms: Sequence[float], width: int) -> float:
    """On the line through the two neighbours."""
    if width <= known[0] or width >= known[-1]:
        end = 0 if width <= known[0] else -1
        return ms[end] * width / known[end]
    right = bisect_right(known, width)
    share = (width - known[right - 1]) / (known[right] - known[right - 1])
    return ms[right - 1] + share * (ms[right] - ms[right - 1])


@dataclass(frozen=True)
class Axes:
    """The widths at which a layer is timed."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def points(self) -> Iterator[Point]:
        yield from ((inputs, outputs) for inputs in self.inputs for outputs in self.outputs)


def axes_of(layer: Layer, step: int) -> Axes:
    """Multiples of ``step``, fewer where the weights are many; what never changes is timed as it is.

    A depthwise layer's input is as wide as its output, and left out: (1,).
    """
    inputs, outputs = layer.inputs.width({}), layer.outputs.width({})
    most = MOST_WIDTHS if layer.shape.weights(inputs, outputs) <= MANY_WEIGHTS else FEW_WIDTHS
    own = step * layer.shape.groups
    into = widths_between(inputs, own, most) if layer.inputs.parts else (inputs,)
    out = widths_between(outputs, own, most) if layer.outputs.parts else (outputs,)
    return Axes((1,), out) if layer.shape.kind == "depthwise" else Axes(into, out)


@dataclass(frozen=True)
class Table:
    """What layers take on one machine.

    Attributes:
        ms: by shape, and widths of input and output.
        step: its widths are multiples of this; see ``axes_of``.
    """

    ms: Mapping[LayerShape, Mapping[Point, float]]
    step: int

    def grid(self, layer: Layer) -> Grid:
        """One layer's."""
        axes, known = axes_of(layer, self.step), self.ms[layer.shape]
        rows = tuple(tuple(known[inputs, outputs] for outputs in axes.outputs) for inputs in axes.inputs)
        return Grid(axes.inputs, axes.outputs, rows)
