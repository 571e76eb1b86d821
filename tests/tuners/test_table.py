from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.tuners._layers import Axis, Layer, LayerShape
from pipeline.tuners._table import Grid, Table, axes_of, widths_between

KNOWN = st.lists(st.integers(1, 500), min_size=1, max_size=6, unique=True).map(sorted)
MS = st.floats(1e-3, 10)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    inputs, outputs = draw(KNOWN), draw(KNOWN)
    rows = [draw(st.lists(MS, min_size=len(outputs), max_size=len(outputs))) for _ in inputs]
    return Grid(tuple(inputs), tuple(outputs), tuple(map(tuple, rows)))


@given(grids())
def test_what_was_timed_is_told_as_it_was(grid: Grid) -> None:
    for inputs, row in zip(grid.inputs, grid.ms_IO, strict=True):
        for outputs, ms in zip(grid.outputs, row, strict=True):
            assert abs(grid.ms(inputs, outputs) - ms) <= 1e-9 * ms


@given(grids(), st.data())
def test_between_widths_it_lies_between_their_times(grid: Grid, data: st.DataObject) -> None:
    inputs = data.draw(st.integers(grid.inputs[0], grid.inputs[-1]))
    outputs = data.draw(st.integers(grid.outputs[0], grid.outputs[-1]))
    every = [ms for row in grid.ms_IO for ms in row]
    assert min(every) * (1 - 1e-9) <= grid.ms(inputs, outputs) <= max(every) * (1 + 1e-9)


@given(KNOWN, KNOWN, MS, st.integers(1, 600), st.integers(1, 600), st.integers(0, 99), st.integers(0, 99))
def test_where_wider_is_slower_it_is_so_between_too(
    inputs: list[int], outputs: list[int], scale: float, into: int, out: int, more_in: int, more_out: int
) -> None:
    rows = tuple(tuple(scale * i * (0.5 + o) for o in outputs) for i in inputs)
    grid = Grid(tuple(inputs), tuple(outputs), rows)
    assert grid.ms(into, out) <= grid.ms(into + more_in, out + more_out) * (1 + 1e-9)


@given(st.integers(1, 2000), st.integers(1, 64), st.integers(1, 16))
def test_widths_are_few_multiples_and_the_whole(width: int, step: int, most: int) -> None:
    widths = widths_between(width, step, most)
    assert list(widths) == sorted(set(widths))
    assert widths[-1] == width
    assert len(widths) <= most
    assert all(one % step == 0 for one in widths[:-1])


def test_a_layer_is_timed_where_its_widths_may_change() -> None:
    first = Layer("first", LayerShape(kind="convolution", size=(8, 8)), Axis(3), Axis(0, ((1, 32, 32),)))
    assert (axes_of(first, 16).inputs, axes_of(first, 16).outputs) == ((3,), (16, 32))
    depthwise = Layer("dw", LayerShape(kind="depthwise", size=(8, 8)), Axis(0, ((1, 32, 32),)), Axis(0, ((1, 32, 32),)))
    assert list(axes_of(depthwise, 8).points()) == [(1, 8), (1, 16), (1, 24), (1, 32)]
    grouped = LayerShape(kind="convolution", size=(8, 8), groups=4)
    wide = Layer("grouped", grouped, Axis(0, ((1, 96, 96),)), Axis(0, ((2, 64, 64),)))
    assert all(width % 32 == 0 for width in axes_of(wide, 8).inputs)


def test_layers_with_millions_of_weights_are_timed_at_few_widths() -> None:
    large = Layer("fc", LayerShape(kind="linear"), Axis(0, ((1, 25088, 512),)), Axis(0, ((2, 4096, 4096),)))
    assert len(list(axes_of(large, 8).points())) == 9


def test_a_table_gives_each_layer_its_own_widths() -> None:
    shape = LayerShape(kind="linear")
    narrow = Layer("narrow", shape, Axis(0, ((1, 8, 8),)), Axis(10))
    wide = Layer("wide", shape, Axis(0, ((1, 32, 32),)), Axis(10))
    table = Table({shape: {(width, 10): width / 10 for width in (8, 16, 24, 32)}}, step=8)
    assert table.grid(narrow).inputs == (8,)
    assert table.grid(wide).ms(20, 10) == 2.0
