"""Other people's files: what is read, raised to a newer operator set, or refused with a reason and a fix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.errors import EdgewrightError, UnavailableError, UsageError
from pipeline.quantizers.onnx_read import OPSET, read_float
from pipeline.rewrites.external_data import external_files, whole_bytes

WEIGHT = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)


def written(path: Path, kind: str = "Conv", domain: str = "", opset: int = 17, dtype: type = np.float32) -> Path:
    """A file with one operator of that kind."""
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"], domain=domain)],
        "g",
        [helper.make_tensor_value_info("x", number, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", number, (1, 4, 6, 6))],
        [numpy_helper.from_array(WEIGHT.astype(dtype), "w")],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)
    return path


def refused(path: Path, error: type[EdgewrightError], convert: bool = False) -> str:
    """The cause; there is a fix, and all fits on six lines."""
    with pytest.raises(error) as caught:
        read_float(path, convert)
    assert caught.value.fix
    assert len(caught.value.lines()) <= 6
    assert str(path) in caught.value.cause
    return caught.value.cause


@pytest.mark.parametrize("kind", ["QuantizeLinear", "QLinearConv", "ConvInteger", "QGemm", "DynamicQuantizeMatMul"])
def test_what_is_quantized_already(kind: str, tmp_path: Path) -> None:
    assert f"quantized already: it has {kind}" in refused(written(tmp_path / "q.onnx", kind), UsageError)


@pytest.mark.parametrize("domain", ["com.microsoft", "com.microsoft.nchwc"])
def test_what_onnx_runtime_optimized(domain: str, tmp_path: Path) -> None:
    assert "it has FusedConv" in refused(written(tmp_path / "o.onnx", "FusedConv", domain), UsageError)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_of_other_numbers(dtype: type, tmp_path: Path) -> None:
    assert "float32" in refused(written(tmp_path / "n.onnx", dtype=dtype), UsageError)


@pytest.mark.parametrize("opset", [7, 12])
def test_an_old_operator_set_is_raised_when_asked(opset: int, tmp_path: Path) -> None:
    path = written(tmp_path / "old.onnx", opset=opset)
    assert f"operator set {opset}" in refused(path, UsageError)
    assert read_float(path, convert=True).opset_import[0].version == OPSET


def test_what_cannot_be_raised(tmp_path: Path) -> None:
    path = written(tmp_path / "unknown.onnx", "NoSuchOperator", opset=9)
    assert "cannot be raised" in refused(path, UnavailableError, convert=True)


def test_weights_that_are_inputs_too(tmp_path: Path) -> None:
    """As every file had them before version 4 of the format."""
    path = written(tmp_path / "ir3.onnx")
    model = onnx.load(path)
    model.graph.input.insert(0, helper.make_tensor_value_info("w", TensorProto.FLOAT, WEIGHT.shape))
    model.ir_version = 3
    onnx.save(model, path)
    assert [value.name for value in read_float(path).graph.input] == ["x"]


def moved(path: Path, to: str) -> None:
    """Write another place of the data into the file."""
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = to
    path.write_bytes(model.SerializeToString())


@pytest.fixture
def apart(tmp_path: Path) -> Path:
    """A file in a folder, its weights beside it."""
    (tmp_path / "net").mkdir()
    path = written(tmp_path / "net" / "apart.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="apart.bin", size_threshold=0)
    return path


def test_weights_in_a_file_beside_it_are_read_and_counted(apart: Path) -> None:
    [value] = read_float(apart).graph.initializer
    assert np.array_equal(numpy_helper.to_array(value), WEIGHT)
    assert external_files(apart) == (apart.with_suffix(".bin"),)
    assert whole_bytes(apart) == apart.stat().st_size + apart.with_suffix(".bin").stat().st_size > WEIGHT.nbytes


@pytest.mark.parametrize("harm", ["missing", "short", "above", "absolute", "link"])
def test_weights_that_are_not_in_a_file_beside_it(harm: str, apart: Path) -> None:
    data, other = apart.with_suffix(".bin"), apart.parent.parent / "other.bin"
    if harm == "short":
        data.write_bytes(data.read_bytes()[:9])
    else:
        data.rename(other)
    if harm == "link":
        data.symlink_to(other)
    if harm in ("above", "absolute"):
        moved(apart, "../other.bin" if harm == "above" else str(other))
    assert "cannot be read" in refused(apart, UnavailableError)


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "is not there" in refused(tmp_path / "nowhere.onnx", UsageError)
    assert "is a folder" in refused(tmp_path, UsageError)
    (tmp_path / "text.onnx").write_text("this is no protobuf")
    assert "no ONNX file" in refused(tmp_path / "text.onnx", UsageError)
