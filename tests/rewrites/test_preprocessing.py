"""A photograph of any size into the graph: the same pixels as ``InputSpec.fit`` makes, and the same numbers."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rewriting_kit import built, kinds, node

from pipeline.rewrites.preprocessing import file_with_preprocessing, with_preprocessing
from pipeline.spec import InputSpec

# In a million values of pixels, those that another order of summing may round the other way.
OTHER_WAY = 100
SPECS: dict[str, InputSpec] = {
    "bilinear": InputSpec(size=(224, 224), resize=256),
    "bicubic": InputSpec(size=(24, 32), resize=37, interpolation="bicubic", mean=(0.5,) * 3, std=(0.25,) * 3),
    "grey": InputSpec(size=(16, 16), resize=16, color="L", mean=(0.3,), std=(0.35,)),
    "pixels": InputSpec(size=(16, 12), resize=20, dtype="uint8"),
}


@cache
def front(name: str) -> onnx.ModelProto:
    """Nothing but the preprocessing."""
    spec = SPECS[name]
    plain = built([node("Identity", "x", "y")], {}, [1, *spec.shape])
    if spec.dtype == "uint8":
        for value in (plain.graph.input[0], plain.graph.output[0]):
            value.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    model = onnx_ir.to_proto(with_preprocessing(onnx_ir.from_proto(plain), spec))
    onnx.checker.check_model(model, full_check=True)
    return model


@cache
def session(name: str) -> Any:
    return onnxruntime.InferenceSession(front(name).SerializeToString(), providers=["CPUExecutionProvider"])


def pixels(spec: InputSpec, prepared: np.ndarray) -> np.ndarray:
    """What was normalized, as whole numbers (1, C, H, W)."""
    if spec.dtype == "uint8":
        return prepared.astype(int)
    mean, std = (np.array(one).reshape(1, -1, 1, 1) for one in (spec.mean, spec.std))
    return np.rint((prepared * std + mean) * 255).astype(int)


@pytest.mark.parametrize("name", SPECS)
@given(height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 2**32 - 1))
@example(height=1, width=1, seed=0)
@example(height=1, width=300, seed=0)
@example(height=256, width=256, seed=0)
def test_the_same_numbers_at_any_size(name: str, height: int, width: int, seed: int) -> None:
    spec = SPECS[name]
    image_HWC = np.random.default_rng(seed).integers(0, 256, (height, width, spec.channels), np.uint8)
    [found] = session(name).run(None, {"image": image_HWC})
    wanted = spec.normalize(spec.fit(image_HWC)[None])
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    off = np.abs(pixels(spec, found) - pixels(spec, wanted))
    assert off.max() <= 1
    assert (off > 0).sum() <= 1 + off.size * OTHER_WAY / 1e6
    assert np.array_equal(found[off == 0], wanted[off == 0])  # normalization adds nothing of its own


@pytest.mark.parametrize("shape", [(1200, 1600), (1999, 700)])
def test_the_same_numbers_of_a_photograph(shape: tuple[int, int]) -> None:
    spec = SPECS["bilinear"]
    image_HWC = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    [found] = session("bilinear").run(None, {"image": image_HWC})
    off = np.abs(pixels(spec, found) - pixels(spec, spec.normalize(spec.fit(image_HWC)[None])))
    assert off.max() <= 1
    assert (off > 0).sum() <= off.size * OTHER_WAY / 1e6


def test_the_input_says_what_it_takes_and_the_network_keeps_its_shapes() -> None:
    model = front("bilinear")
    [image] = model.graph.input
    assert image.name == "image"
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    sizes = [one.dim_param or one.dim_value for one in image.type.tensor_type.shape.dim]
    assert sizes == ["height", "width", 3]
    assert session("bilinear").get_outputs()[0].shape == [1, 3, 224, 224]


def test_needs_no_operator_that_accelerators_lack() -> None:
    assert not {"Resize", "Loop", "If", "Scan", "GridSample"} & set(kinds(front("bicubic")))


@pytest.mark.parametrize("name", SPECS)
def test_needs_no_doubles_which_builds_for_webgpu_lack(name: str) -> None:
    graph = onnx.shape_inference.infer_shapes(front(name), strict_mode=True, data_prop=True).graph
    kinds = {value.type.tensor_type.elem_type for value in graph.value_info} | {
        one.data_type for one in graph.initializer
    }
    assert onnx.TensorProto.INT64 in kinds
    assert onnx.TensorProto.DOUBLE not in kinds


def test_what_no_image_is_does_not_pass() -> None:
    for wrong in (np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((1, 3, 4, 4), np.uint8)):
        with pytest.raises(Exception, match=r"(?i)invalid|unexpected"):
            session("bilinear").run(None, {"image": wrong})


def test_a_file_keeps_its_network(tmp_path: Any) -> None:
    spec = SPECS["grey"]
    path = tmp_path / "model.onnx"
    onnx.save(built([node("ReduceMean", "x", "y", keepdims=0)], {}, [1, *spec.shape]), path)
    opened = onnxruntime.InferenceSession(file_with_preprocessing(path, spec))
    image_HWC = np.random.default_rng(0).integers(0, 256, (50, 70, 1), np.uint8)
    [found] = opened.run(None, {"image": image_HWC})
    assert found == pytest.approx(spec.normalize(spec.fit(image_HWC)[None]).mean(), abs=1e-5)
    assert file_with_preprocessing(path, spec) == file_with_preprocessing(path, spec)
