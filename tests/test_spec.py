"""Preprocessing as data: the same pixels as Pillow and torch."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from torch.nn import functional as F
from torchvision import transforms

from pipeline.spec import Budget, InputSpec, Interpolation, key_of, resampling_matrix

EDGES = st.integers(1, 60)
GOOD: dict[str, Any] = {"size": (8, 6), "resize": 9}
GREY: dict[str, Any] = {"color": "L", "mean": (0.5,), "std": (0.5,)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": (0, 6)},
        {"size": (8,)},
        {"resize": 7},
        {"std": (0.1, 0.0, 0.1)},
        {"std": (0.1, -1.0, 0.1)},
        {"mean": (0.5,)},
        {"mean": (float("nan"), 0.5, 0.5)},
        {"color": "L"},
        {"color": "BGR"},
        {"interpolation": "nearest"},
        {"colour": "RGB"},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    InputSpec(**GOOD)
    with pytest.raises(ValidationError):
        InputSpec(**{**GOOD, **wrong})


def test_is_frozen_and_survives_json() -> None:
    spec = InputSpec(**GOOD, **GREY)
    with pytest.raises(ValidationError):
        spec.resize = 20
    assert InputSpec.model_validate(json.loads(spec.model_dump_json())) == spec
    assert (spec.channels, spec.shape) == (1, (1, 8, 6))
    assert InputSpec(**GOOD).shape == (3, 8, 6)


@given(source=EDGES, target=EDGES)
def test_weights_are_weights(source: int, target: int) -> None:
    matrix = resampling_matrix(source, target)
    assert matrix.shape == (target, source)
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(matrix[::-1, ::-1], matrix, atol=1e-6)
    first = target // 3
    np.testing.assert_array_equal(resampling_matrix(source, target, first, target - first), matrix[first:])
    if source == target:
        np.testing.assert_array_equal(matrix, np.eye(source, dtype=np.float32))


def image_of(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.mark.parametrize("filter_", ["bilinear", "bicubic"])
@given(height=EDGES, width=EDGES, rows=EDGES, columns=EDGES, seed=st.integers(0, 99))
def test_resampling_is_torchs_and_pillows(
    filter_: Interpolation, height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    image = image_of(height, width, 3, seed)
    matrices = [resampling_matrix(height, rows, 0, None, filter_), resampling_matrix(width, columns, 0, None, filter_)]
    ours = np.einsum("yh,hwc,xw->yxc", matrices[0], image, matrices[1])
    x_NCHW = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    torchs = F.interpolate(x_NCHW, (rows, columns), mode=filter_, antialias=True)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(ours, torchs, atol=2e-2)
    method = Image.Resampling[filter_.upper()]
    pillows = np.asarray(Image.fromarray(image).resize((columns, rows), method), np.float32)
    # Pillow rounds after each of the two axes, and clips there what a cubic filter overshoots.
    assert np.quantile(np.abs(ours.clip(0, 255) - pillows), 0.5 if filter_ == "bicubic" else 1) <= 1.01


@given(height=st.integers(1, 300), width=st.integers(1, 300), grey=st.booleans(), extra=st.integers(0, 9))
def test_any_image_fits(height: int, width: int, grey: bool, extra: int) -> None:
    spec = InputSpec(size=(12, 7), resize=12 + extra, **(GREY if grey else {}))
    fitted = spec.fit(image_of(height, width, spec.channels, 0))
    assert (fitted.shape, fitted.dtype) == ((12, 7, spec.channels), np.uint8)


@given(height=st.integers(1, 90), width=st.integers(1, 90), extra=st.integers(0, 9), seed=st.integers(0, 99))
def test_fits_as_torchvision_does(height: int, width: int, extra: int, seed: int) -> None:
    image = image_of(height, width, 3, seed)
    ours = InputSpec(size=(12, 7), resize=12 + extra).fit(image)
    resized = transforms.Resize(12 + extra)(Image.fromarray(image))
    torchvisions = np.asarray(transforms.CenterCrop((12, 7))(resized), int)
    assert np.abs(ours - torchvisions).max() <= 1  # Pillow's weights are whole numbers: its halves go up or down


@pytest.mark.parametrize(("filter_", "apart"), [("bilinear", 0.004), ("bicubic", 0.004)])
def test_a_photographs_pixels_are_pillows(filter_: Interpolation, apart: float) -> None:
    image = np.asarray(Image.fromarray(image_of(60, 80, 3, 0)).resize((400, 300), Image.Resampling.BICUBIC))
    ours = InputSpec(size=(224, 224), resize=256, interpolation=filter_).fit(image)
    resized = transforms.Resize(256, transforms.InterpolationMode(filter_))(Image.fromarray(image))
    pillows = np.asarray(transforms.CenterCrop(224)(resized), int)
    assert np.abs(ours - pillows).max() <= 2
    assert (ours != pillows).mean() <= apart


@pytest.mark.parametrize("shape", [(1, 20_000, 3), (20_000, 1, 3), (2, 5_000, 3), (1, 1, 3)])
def test_extreme_aspect_ratios_fit_into_little_memory(shape: tuple[int, int, int]) -> None:
    image = np.full(shape, 77, np.uint8)
    tracemalloc.start()
    try:
        fitted = InputSpec(size=(16, 16), resize=18).fit(image)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert fitted.shape == (16, 16, 3)
    assert (fitted == 77).all()
    assert peak < 50e6


def test_the_shorter_edge_is_resized_and_the_centre_is_kept() -> None:
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 255
    assert (InputSpec(size=(10, 10), resize=10).fit(image) == 255).all()
    assert (InputSpec(size=(10, 10), resize=10).fit(image.transpose(1, 0, 2)) == 255).all()


@given(level=st.integers(0, 255), height=EDGES, width=EDGES)
def test_a_plain_image_stays_plain(level: int, height: int, width: int) -> None:
    fitted = InputSpec(size=(8, 8), resize=9).fit(np.full((height, width, 3), level, np.uint8))
    assert (fitted == level).all()


def test_normalize() -> None:
    spec = InputSpec(size=(2, 2), resize=2, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    fitted = np.zeros((1, 2, 2, 3), np.uint8)
    fitted[0, 0, 1] = (255, 255, 255)
    x_NCHW = spec.normalize(fitted)
    assert (x_NCHW.shape, x_NCHW.dtype, x_NCHW.flags["C_CONTIGUOUS"]) == ((1, 3, 2, 2), np.float32, True)
    np.testing.assert_allclose(x_NCHW[0, :, 0, 0], [0, -1, -4])
    np.testing.assert_allclose(x_NCHW[0, :, 0, 1], [1, 1, 0])


def test_what_takes_pixels_gets_them() -> None:
    spec = InputSpec(**GOOD, dtype="uint8")
    fitted = image_of(8, 6, 3, 0)[None]
    assert np.array_equal(spec.normalize(fitted), fitted.transpose(0, 3, 1, 2))
    assert InputSpec.model_validate(json.loads(spec.model_dump_json())) == spec
    assert "dtype" not in InputSpec(**GOOD).model_dump()  # files from before it was there are as they were


@given(
    means=st.lists(st.floats(0, 1), min_size=3, max_size=3), stds=st.lists(st.floats(0.1, 1), min_size=3, max_size=3)
)
def test_the_grid_of_pixels_is_the_normalization(means: list[float], stds: list[float]) -> None:
    spec = InputSpec(**{**GOOD, "size": (1, 256), "resize": 256}, mean=tuple(means), std=tuple(stds))
    pixels = np.repeat(np.arange(256, dtype=np.uint8)[None, None, :, None], 3, 3)
    grid = spec.pixel_grid
    steps = np.array(grid.factors) * (pixels.astype(float) - grid.zero_point + np.array(grid.shifts))
    np.testing.assert_allclose(grid.scale * steps.transpose(0, 3, 1, 2), spec.normalize(pixels), atol=1e-5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(data=st.dictionaries(st.text(max_size=4), JSON, max_size=5), other=JSON)
def test_a_key_follows_the_content_and_not_the_order(data: dict[str, Any], other: Any) -> None:
    key = key_of(data)
    assert len(key) == 24
    assert set(key) <= set("0123456789abcdef")
    assert key_of(dict(reversed(data.items()))) == key
    assert key_of(json.loads(json.dumps(data))) == key
    assert key_of({**data, "added": other}) != key


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_key_of_what_is_no_json(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        key_of({"a": value})


@pytest.mark.parametrize("wrong", [{"max_drop": 1.5}, {"max_drop": -0.1}, {"max_latency_ms": 0}, {"max_bytes": 0}])
def test_budgets_in_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Budget(**wrong)
