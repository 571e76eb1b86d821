"""``edgewright explain``: kernels, noise, islands, and a verdict that follows from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from tiny_run import edgewright, finished

from pipeline import explain as module
from pipeline.artifact import Artifact
from pipeline.errors import UsageError
from pipeline.explain import Explanation, FloatIsland, Operator, explain, verdict
from pipeline.exporters.onnx import ExportOnnx
from pipeline.model import Model
from pipeline.processor import saturates
from pipeline.results import Interval, Latency
from pipeline.stage import Context
from pipeline.study import Benchmark

QUICK = Benchmark(seconds=0.5, sittings=4, rounds=1, calls=1, cold_starts=0)


@pytest.fixture(scope="module")
def folder() -> Path:
    return finished().out / "models" / "int8" / "onnx"


@pytest.fixture(scope="module")
def found(folder: Path) -> Explanation:
    return explain(folder, QUICK)


def test_every_operator_that_ran_is_there(found: Explanation, folder: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(Artifact.load(folder).path, options, providers=["CPUExecutionProvider"])
    ran = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert sorted(one.kernel for one in found.operators) == sorted(ran)
    assert sum(one.share for one in found.operators) == pytest.approx(1, abs=1e-6)


def test_kernels_are_integer_but_the_first(found: Explanation) -> None:
    assert [one.kernel for one in found.operators if not one.integer] == ["QuantizeLinear"]
    assert found.integer_share == pytest.approx(1 - found.operators[0].share)
    assert found.islands == ()


def test_noise_is_told_for_every_convolution(found: Explanation) -> None:
    noise = {one.name: one.sqnr_db for one in found.operators if one.kernel == "QLinearConv"}
    assert None not in noise.values()
    assert all(0 < sqnr_db < 80 for sqnr_db in noise.values() if sqnr_db is not None)
    assert found.images == "probe"


def test_noise_is_that_of_activations(folder: Path, tmp_path: Path) -> None:
    """Against the twin, which has the same rounded weights: a coarser grid before a layer is seen behind it."""
    path = tmp_path / "coarse.onnx"
    model = onnx.load(Artifact.load(folder).path)
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    for value in model.graph.initializer:
        if value.name == first.input[1]:
            value.CopyFrom(onnx.numpy_helper.from_array(8 * onnx.numpy_helper.to_array(value), value.name))
    onnx.save(model, path)
    artifact = Artifact.load(folder)
    x_NCHW = artifact.manifest.input.normalize(artifact.probe().fitted_NHWC[:4])
    fine, coarse = (first_noise(file, tmp_path, x_NCHW) for file in (artifact.path, path))
    assert coarse < fine - 6


def first_noise(path: Path, tmp_path: Path, x_NCHW: np.ndarray) -> float:
    twin = tmp_path / "twin.onnx"
    module.write_float_twin(path, twin)
    return module.activation_noise(path, twin, x_NCHW)["node_conv2d"]


def test_a_float_operator_between_is_an_island(folder: Path, tmp_path: Path) -> None:
    model = onnx_ir.load(Artifact.load(folder).path)
    pool = next(node for node in model.graph if node.op_type == "GlobalAveragePool")
    tanh = onnx_ir.node("Tanh", [pool.inputs[0]], name="odd")
    model.graph.insert_before(pool, tanh)
    pool.replace_input_with(0, tanh.outputs[0])
    path = tmp_path / "odd.onnx"
    onnx_ir.save(model, path)
    found = explain(path, QUICK)
    [island] = found.islands
    assert "Tanh" in island.operators
    assert 0 < island.share < 1
    assert "no integer kernel for Tanh" in found.verdict
    assert found.images == "noise"


def test_another_float_file_can_be_compared_with(folder: Path) -> None:
    other = finished().out / "models" / "base" / "onnx" / "model.onnx"
    assert explain(folder, QUICK, other).compared == str(other)


def test_dynamic_int8_is_explained(dynamic: Model, full_context: Context, tmp_path: Path) -> None:
    ExportOnnx()(dynamic, full_context).save(tmp_path)
    found = explain(tmp_path, QUICK)
    products = [one for one in found.operators if one.kernel == "DynamicQuantizeMatMul"]
    assert [one.name for one in products] == ["dynamic_linear", "dynamic_linear_1", "dynamic_linear_2"]
    least = 15 if saturates() else 25
    assert all(one.integer and one.sqnr_db and least < one.sqnr_db < 80 for one in products)
    assert found.integer_share == pytest.approx(sum(one.share for one in products))
    assert {island.operators for island in found.islands} == {("Relu",)}
    assert "dynamic int8 leaves" in found.verdict


def test_a_float_file_is_refused() -> None:
    with pytest.raises(UsageError, match="not quantized"):
        explain(finished().out / "models" / "base" / "onnx", QUICK)


def test_the_command_prints_a_table_and_a_verdict(folder: Path) -> None:
    said = edgewright("explain", folder, "--seconds", "0.5")
    assert said.exit_code == 0, said.stderr
    assert said.stdout.startswith("int8 gives ")
    assert "| QLinearConv" in said.stdout
    assert "No float islands" in said.stdout
    told = json.loads(edgewright("explain", folder, "--seconds", "0.5", "--json").stdout)
    assert told["verdict"].startswith("int8 gives ")
    assert len(told["operators"]) > 30


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("this is no protobuf")
    said = edgewright("explain", path)
    assert said.exit_code in (2, 3)
    assert len(said.stderr.splitlines()) <= 6


def operator(kernel: str, share: float, integer: bool = True) -> Operator:
    return Operator(name="n", kernel=kernel, integer=integer, ms=1.0, share=share, sqnr_db=None)


def latency() -> Latency:
    one = Interval(value=1.5, low=1.4, high=1.6)
    fields = dict.fromkeys(("p50_ms", "p90_ms", "p99_ms", "mean_ms", "ratio"), one)
    return Latency(verdict="faster", sittings_ms=(1.0,), calls=1, openings=1, warm_up_calls=1, **fields)


def test_the_verdict_names_every_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cpu_flags", lambda: frozenset({"avx2"}))
    operators = [operator("QLinearConv", 0.5), operator("QLinearMul", 0.2), operator("QuantizeLinear", 0.3, False)]
    island = FloatIsland(names=("a",), operators=("Tanh",), reason="because", share=0.25)
    said = verdict(latency(), operators, [island])
    assert said.startswith("int8 gives 1.50× [1.40, 1.60] of float's speed here, because 70 % of its time")
    for cause in (
        "1 float island(s) take 25 %",
        "Tanh: because",
        "30 % goes into quantizing",
        "no dot product",
        "20 %",
    ):
        assert cause in said


def test_a_clean_graph_on_a_good_processor_has_one_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cpu_flags", lambda: frozenset({"avx512_vnni"}))
    said = verdict(latency(), [operator("QLinearConv", 1.0)], [])
    assert said.endswith("because 100 % of its time is spent in integer kernels.")
