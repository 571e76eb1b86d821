"""The float product behind a dynamically quantized one: near its answers, and left alone where it is something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from rewriting_kit import built, changed, kernels, kinds, node, run

from pipeline.rewrites.exposed import exposed
from pipeline.rewrites.float_twin import float_twin, write_float_twin
from pipeline.rewrites.islands import islands

FEATURES, OUTPUTS = 24, 6


def dynamic(
    seed: int = 0, columns: bool = True, zero: int | None = None, swapped: bool = False, outputs: str = "y"
) -> onnx.ModelProto:
    """A rectified linear layer and another one, quantized dynamically as ONNX Runtime's own tool does."""
    rng, constants, nodes, source = np.random.default_rng(seed), {}, [], "x"
    for name, inputs in (("one", FEATURES), ("two", OUTPUTS)):
        constants |= {
            f"{name}_w": rng.integers(-127, 128, (inputs, OUTPUTS)).astype(np.int8),
            f"{name}_t": rng.uniform(0.001, 0.01, OUTPUTS if columns else ()).astype(np.float32),
            f"{name}_b": rng.normal(size=OUTPUTS).astype(np.float32),
        }
        reads = f"{name}_q {name}_w {name}_z"
        if zero is not None:
            constants[f"{name}_o"] = np.full(OUTPUTS if columns else (), zero, np.int8)
            reads += f" {name}_o"
        rounded = [f"{name}_q", f"{name}_s", f"{name}_z"]
        step = f"{name}_t {name}_s" if swapped else f"{name}_s {name}_t"
        scaled = f"{name}_step {name}_float" if swapped else f"{name}_float {name}_step"
        nodes += [
            helper.make_node("DynamicQuantizeLinear", [source], rounded, name=f"node_{name}_q"),
            node("MatMulInteger", reads, f"{name}_sums"),
            node("Cast", f"{name}_sums", f"{name}_float", to=onnx.TensorProto.FLOAT),
            node("Mul", step, f"{name}_step"),
            node("Mul", scaled, f"{name}_scaled"),
            node("Add", f"{name}_scaled {name}_b", f"{name}_y"),
            node("Relu", f"{name}_y", f"{name}_r"),
        ]
        source = f"{name}_r"
    nodes.append(node("Identity", source, "y"))
    return built(nodes, constants, [1, FEATURES], outputs)


@given(
    seed=st.integers(0, 99),
    columns=st.booleans(),
    zero=st.sampled_from([None, 0, 5]),
    swapped=st.booleans(),
)
def test_the_twin_is_what_was_rounded(seed: int, columns: bool, zero: int | None, swapped: bool) -> None:
    before = dynamic(seed, columns, zero, swapped)
    twin = changed(float_twin, before)
    assert kinds(twin) == [*["MatMul", "Add", "Relu"] * 2, "Identity"]
    x = np.random.default_rng(seed).normal(size=(1, FEATURES)).astype(np.float32)
    exact, rounded = run(twin, x), run(before, x)
    assert float(np.abs(exact - rounded).max()) <= 0.02 * max(1.0, float(np.abs(exact).max()))
    assert not np.array_equal(exact, rounded)


def test_sums_that_are_used_otherwise_stay() -> None:
    assert kinds(changed(float_twin, dynamic(outputs="y one_float"))).count("MatMulInteger") == 1


def test_a_weight_that_is_computed_stays() -> None:
    model = dynamic()
    model.graph.node.insert(0, node("Identity", "one_t", "same"))
    for one in model.graph.node:
        if one.name == "node_one_step":
            one.input[1] = "same"
    assert kinds(changed(float_twin, model)).count("MatMulInteger") == 1


def test_a_file_has_a_twin(tmp_path: Path) -> None:
    onnx.save(dynamic(), tmp_path / "dynamic.onnx")
    write_float_twin(tmp_path / "dynamic.onnx", tmp_path / "twin.onnx")
    assert "MatMulInteger" not in kinds(onnx.load(tmp_path / "twin.onnx"))


def test_products_are_shown_as_floats_under_the_kernels_name() -> None:
    """The runtime's one kernel has the name of the integer product; twin and file show the same value for it."""
    model = dynamic()
    rounded, exact = (exposed(onnx_ir.from_proto(one)) for one in (model, changed(float_twin, model)))
    for names in (rounded, exact):
        assert names["one_scaled"] == "node_one_sums"
        assert names["one_r"] == "node_one_r"
    assert "one_sums" not in rounded
    assert not any("_q" in name for name in rounded.values())


@pytest.mark.parametrize("columns", [True, False])
def test_what_stands_between_is_float_by_intent(columns: bool, tmp_path: Path) -> None:
    ran = kernels(dynamic(columns=columns), tmp_path)
    assert ran.count("DynamicQuantizeMatMul") == 2
    found = islands(tmp_path / "optimized.onnx")
    assert [island.operators for island in found] == [("Relu",), ("Relu",)]
    assert {island.reason for island in found} == {"dynamic int8 leaves what stands between its layers float"}
