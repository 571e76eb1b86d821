"""The uint8 image in place of the normalized one: the same answers, at the borders too."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import onnx
import onnx_ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rewriting_kit import DEQUANTIZE, QUANTIZE, built, changed, kinds, node, run

from pipeline.rewrites.float_twin import float_twin
from pipeline.rewrites.four_channels import four_channels
from pipeline.rewrites.uint8_image import uint8_image
from pipeline.spec import InputSpec

EDGES, OUTPUTS = (9, 8), 6
PADS = [1, 0, 1, 2]
LITE = ((127 / 255,) * 3, (128 / 255,) * 3)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def spec_of(mean: tuple[float, ...], std: tuple[float, ...]) -> InputSpec:
    return InputSpec(size=EDGES, resize=9, color="RGB" if len(mean) == 3 else "L", mean=mean, std=std)


def photograph(channels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (1, *EDGES, channels), dtype=np.uint8)


def constants(channels: int, kernel: int, seed: int, group: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {
        "w": rng.integers(-127, 128, (OUTPUTS, channels // group, kernel, kernel)).astype(np.int8),
        "v": rng.uniform(0.001, 0.01, OUTPUTS).astype(np.float32),
        "bias": rng.normal(size=OUTPUTS).astype(np.float32),
    }


def graph(
    channels: int, kernel: int = 3, seed: int = 0, grid: tuple[float, int] | None = (0.02, 114), group: int = 1
) -> onnx.ModelProto:
    """x -> QuantizeLinear, DequantizeLinear -> padded Conv with int8 weights -> y; without a grid x is read itself."""
    values = constants(channels, kernel, seed, group)
    nodes = [node(DEQUANTIZE, "w v", "weight", axis=0)]
    if grid is not None:
        values |= {"s": np.float32(grid[0]), "z": np.uint8(grid[1])}
        nodes += [node(QUANTIZE, "x s z", "a"), node(DEQUANTIZE, "a s z", "b")]
    image = "x" if grid is None else "b"
    pads = PADS if kernel > 1 else [0] * 4
    nodes.append(node("Conv", f"{image} weight bias", "y", strides=[2, 2], pads=pads, group=group))
    return built(nodes, values, [1, channels, *EDGES])


def on_pixels(model: onnx.ModelProto, spec: InputSpec) -> onnx.ModelProto:
    return changed(lambda graph: uint8_image(four_channels(graph), spec), model)


def places(image_NCHW: np.ndarray, weight_OChw: np.ndarray) -> np.ndarray:
    """Sums of an image's values under a kernel of those weights."""
    pads = PADS if weight_OChw.shape[2] > 1 else [0] * 4
    values = {"w": weight_OChw.astype(np.float32)}
    model = built([node("Conv", "x w", "y", strides=[2, 2], pads=pads)], values, list(image_NCHW.shape))
    return run(model, image_NCHW.astype(np.float32), optimized=False)


def test_on_the_grid_of_pixels_it_is_equal_bit_for_bit() -> None:
    spec, pixels_NHWC = spec_of(*LITE), photograph(3, 0)
    before = graph(3, grid=(1 / 128, 127))
    after = on_pixels(before, spec)
    assert QUANTIZE not in kinds(after)
    x, pixels = spec.normalize(pixels_NHWC), pixels_NHWC.transpose(0, 3, 1, 2)
    for optimized in (True, False):
        assert np.array_equal(run(after, pixels, optimized), run(before, x, optimized))


@given(
    centre=st.floats(0.3, 0.7),
    apart=st.lists(st.floats(-0.1, 0.1), min_size=3, max_size=3),
    std=st.lists(st.floats(0.2, 0.3), min_size=3, max_size=3),
    channels=st.sampled_from([1, 3]),
    kernel=st.sampled_from([1, 3, 5]),
    seed=st.integers(0, 99),
)
def test_within_its_bound_everywhere(
    centre: float, apart: list[float], std: list[float], channels: int, kernel: int, seed: int
) -> None:
    """Against exact arithmetic: half a step a weight, and half a zero point a tap outside of the image."""
    spec = spec_of(tuple(centre + one for one in apart[:channels]), tuple(std[:channels]))
    pixels_NHWC, grid = photograph(channels, seed), spec.pixel_grid
    pixels = pixels_NHWC.transpose(0, 3, 1, 2)
    found = run(on_pixels(graph(channels, kernel, seed), spec), pixels, optimized=False)
    exact = run(graph(channels, kernel, seed, grid=None), spec.normalize(pixels_NHWC), optimized=False)
    again = np.array(grid.factors) < 1
    per_weight = np.broadcast_to(0.5 * again[None, :, None, None], (1, channels, kernel, kernel))
    from_weights = places(
        np.abs(pixels.astype(int) - grid.zero_point + np.array(grid.shifts)[:, None, None]), per_weight
    )
    taps = np.ones((1, 1, kernel, kernel))
    outside = kernel**2 - places(np.ones((1, 1, *EDGES)), taps)
    at_borders = outside * (grid.zero_point + 1) / 2
    step = grid.scale * constants(channels, kernel, seed)["v"].reshape(1, -1, 1, 1)
    assert (np.abs(found - exact) <= step * (from_weights + at_borders + 1) + 1e-4).all()


def test_integer_kernels_answer_the_same() -> None:
    spec, pixels = spec_of(*IMAGENET), photograph(3, 1).transpose(0, 3, 1, 2)
    model = graph(3)
    model.graph.node[-1].output[0] = model.graph.node[-1].name = "c"
    model.graph.node.extend([node(QUANTIZE, "c t o", "d"), node(DEQUANTIZE, "d t o", "y")])
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(array), name)
        for name, array in {"t": np.float32(0.2), "o": np.uint8(128)}.items()
    )
    after = on_pixels(onnx.shape_inference.infer_shapes(model), spec)
    np.testing.assert_allclose(run(after, pixels), run(after, pixels, optimized=False), atol=0.201)


@pytest.mark.parametrize(("grid", "group"), [(None, 1), ((0.02, 114), 3)], ids=["float", "grouped"])
@pytest.mark.parametrize("spec", [spec_of(*IMAGENET), spec_of(*LITE)], ids=["between", "whole"])
def test_other_graphs_get_the_arithmetic_in_front(grid: tuple[float, int] | None, group: int, spec: InputSpec) -> None:
    before, pixels_NHWC = graph(3, grid=grid, group=group), photograph(3, 2)
    after = changed(partial(uint8_image, spec=spec), before)
    assert ("Add" in kinds(after), kinds(after).count(QUANTIZE)) == (not spec.pixel_grid.exact, int(grid is not None))
    wanted = run(before, spec.normalize(pixels_NHWC), optimized=False)
    found = run(after, pixels_NHWC.transpose(0, 3, 1, 2), optimized=False)
    # A pixel on a tie of the grid may fall to the other side.
    np.testing.assert_allclose(found, wanted, atol=1e-4 if grid is None else 0.03)


def test_what_is_computed_is_left_to_the_arithmetic_in_front() -> None:
    model = onnx_ir.from_proto(graph(3))
    [convolution] = [one for one in model.graph if one.op_type == "Conv"]
    computed = onnx_ir.node("Neg", [convolution.inputs[2]])
    model.graph.insert_before(convolution, computed)
    convolution.replace_input_with(2, computed.outputs[0])
    assert QUANTIZE in [one.op_type for one in uint8_image(model, spec_of(*IMAGENET)).graph]


def test_its_float_twin_reads_pixels_too() -> None:
    spec, pixels_NHWC = spec_of(*IMAGENET), photograph(3, 3)
    twin = changed(float_twin, on_pixels(graph(3), spec))
    assert {"Concat", QUANTIZE} & set(kinds(twin)) == set()
    exact = run(graph(3, grid=None), spec.normalize(pixels_NHWC))
    found = run(twin, pixels_NHWC.transpose(0, 3, 1, 2))
    assert 10 * np.log10((exact**2).sum() / ((found - exact) ** 2).sum()) > 35
