"""``edgewright bench``: files of anybody's, measured together, and refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tiny_run import edgewright, finished
from torch import nn

from pipeline.bench import Bench, bench
from pipeline.errors import UsageError
from pipeline.settings import SINGLE_STREAM, benchmark_of, image_shape
from pipeline.study import Benchmark

QUICK = Benchmark(seconds=0.5, sittings=4, rounds=1, calls=1, cold_starts=0)
FAST = ("--seconds", "0.5", "--precision", "0.5")


def onnx_file(path: Path, **changed: object) -> Path:
    """A classifier of a global average and a linear layer, or one that is changed."""
    inputs = changed.get("inputs", {"image": ("N", 3, 8, 8)})
    outputs = changed.get("outputs", {"logits": ("N", 4)})
    kind = changed.get("kind", TensorProto.FLOAT)
    assert isinstance(inputs, dict)
    assert isinstance(outputs, dict)
    first = next(iter(inputs))
    nodes = [helper.make_node("GlobalAveragePool", [first], ["mean"]), helper.make_node("Flatten", ["mean"], ["flat"])]
    nodes.append(helper.make_node("MatMul", ["flat", "weight"], ["product"]))
    nodes += [helper.make_node("Identity", ["product" if len(s) == 2 else "mean"], [n]) for n, s in outputs.items()]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs.items()],
        [helper.make_tensor("weight", TensorProto.FLOAT, (3, 4), np.ones(12))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def script(path: Path) -> Path:
    """The same in TorchScript, which does not say what it takes."""
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).eval()
    torch.jit.trace(network, torch.zeros(1, 3, 8, 8)).save(str(path))
    return path


def test_files_of_every_format_are_measured_together(tmp_path: Path) -> None:
    own = finished().out / "models" / "base" / "onnx"
    files = [onnx_file(tmp_path / "a.onnx"), own, script(tmp_path / "b.pt")]
    found = bench(files, QUICK, ["onnxruntime", "torchscript"], shape=(3, 8, 8), trusted=True)
    kinds = ["onnxruntime", "onnxruntime", "torchscript"]
    assert [(row.file, row.runtime, row.batch) for row in found.rows] == [
        (str(file), kind, 1) for file, kind in zip(files, kinds, strict=True)
    ]
    assert found.rows[0].latency.verdict == "reference"
    assert all(row.latency.p50_ms.value > 0 and row.latency.openings == 4 for row in found.rows)
    assert Bench.model_validate(json.loads(found.model_dump_json())) == found


def test_sweeps_and_cold_starts(tmp_path: Path) -> None:
    sweep = QUICK.model_copy(update={"sweep_threads": (2,), "sweep_batches": (3,), "cold_starts": 1})
    files = [onnx_file(tmp_path / "a.onnx"), finished().out / "models" / "int8" / "onnx"]
    found = bench(files, sweep, ["onnxruntime"])
    assert [(row.threads, row.batch, row.input[0]) for row in found.rows] == [
        *((1, 1, 1), (1, 3, 3), (2, 1, 1), (2, 3, 3)),
        *((1, 1, 1), (2, 1, 1)),  # our ONNX files take one image
    ]
    for row in found.rows:
        assert row.images_per_s == pytest.approx(1e3 * row.batch / row.latency.p50_ms.value)
        assert row.footprint is not None
        assert row.footprint.peak_bytes > row.footprint.grown_bytes > 0


def test_a_program_needs_trust_and_an_input(tmp_path: Path) -> None:
    path = script(tmp_path / "b.pt")
    refused = edgewright("bench", path)
    assert (refused.exit_code, "--trust" in refused.stderr) == (3, True)
    shapeless = edgewright("bench", path, "--trust")
    assert (shapeless.exit_code, "--input" in shapeless.stderr) == (2, True)
    done = edgewright("bench", path, "--trust", "--input", "3x8x8", *FAST, "--json")
    assert done.exit_code == 0, done.stderr
    assert [row["runtime"] for row in json.loads(done.stdout)["rows"]] == ["torchscript"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"inputs": {"image": ("N", 3, 8, 8), "other": ("N", 1)}}, "takes 2 inputs"),
        ({"outputs": {"a": ("N", 4), "b": ("N", 4)}}, "gives any×4, any×4"),
        ({"outputs": {"map": ("N", 3, 1, 1)}}, "gives any×3×1×1; a classifier gives one N×K output"),
        ({"inputs": {"image": ("N", 3, "H", "W")}}, "takes images of 3×any×any"),
    ],
)
def test_what_is_no_image_classifier_is_refused(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    result = edgewright("bench", onnx_file(tmp_path / "a.onnx", **changed))
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 6


def test_a_file_of_any_size_is_measured_at_the_size_that_is_said(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "a.onnx", inputs={"image": ("N", 3, "H", "W")})
    assert [row.input for row in bench([path], QUICK, ["onnxruntime"], shape=(3, 12, 10)).rows] == [(1, 3, 12, 10)]
    fixed = onnx_file(tmp_path / "b.onnx")
    with pytest.raises(UsageError, match="takes images of 3×8×8"):
        bench([fixed], QUICK, shape=(3, 12, 10))


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("a.onnx", b"not a model", 3, "onnxruntime cannot open"),
        ("a.onnx", b"", 3, "onnxruntime cannot open"),
        ("a.txt", b"text", 2, "is no .onnx"),
        (None, b"", 2, "is neither a model file nor an artifact"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path: Path, name: str | None, content: bytes, code: int, said: str) -> None:
    path = tmp_path / (name or "missing.onnx")
    if name:
        path.write_bytes(content)
    result = edgewright("bench", path)
    assert (result.exit_code, said in result.stderr) == (code, True), result.stderr


def test_other_shapes_than_the_file_takes_are_named(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 4)).eval()
    torch.jit.trace(network, torch.zeros(1, 3, 8, 8)).save(str(tmp_path / "b.pt"))
    result = edgewright("bench", tmp_path / "b.pt", "--trust", "--input", "3x9x9")
    assert result.exit_code == 3
    assert "does not answer to 1×3×9×9" in result.stderr


def test_a_limit_too_short_for_one_round_says_what_to_set(tmp_path: Path) -> None:
    result = edgewright("bench", onnx_file(tmp_path / "a.onnx"), "--seconds", "1e-9")
    assert result.exit_code == 2
    assert "too short" in result.stderr
    assert "set benchmark.seconds to" in result.stderr


def test_the_table_names_what_could_not_be_measured(tmp_path: Path) -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1)).eval()
    torch.jit.trace(network, torch.zeros(1, 3, 8, 8)).save(str(tmp_path / "map.pt"))
    arguments = (onnx_file(tmp_path / "a.onnx"), tmp_path / "map.pt", "--trust", "--input", "3x8x8")
    result = edgewright("bench", *arguments, *FAST)
    assert result.exit_code == 0, result.stderr
    assert "a classifier gives N×K" in result.stdout
    assert "a.onnx" in result.stdout.splitlines()[2]


def test_options_become_a_benchmark() -> None:
    made = benchmark_of(sweep_threads="2,4", sweep_batches="", single_stream=True, seconds=9.0)
    assert (made.sweep_threads, made.sweep_batches, made.seconds) == ((2, 4), (), 9.0)
    assert {name: getattr(made, name) for name in SINGLE_STREAM} == SINGLE_STREAM
    assert (made.least_calls, made.least_seconds) == (1024, 60)
    with pytest.raises(UsageError, match="sweep_threads"):
        benchmark_of(sweep_threads="two", sweep_batches="", single_stream=False)


@pytest.mark.parametrize("text", ["3x8", "3x8x0", "axbxc", "3x8x8x8", ""])
def test_an_input_is_three_numbers(text: str) -> None:
    assert image_shape("3x224x192") == (3, 224, 192)
    assert image_shape(None) is None
    with pytest.raises(UsageError, match="--input"):
        image_shape(text)


def test_no_file_and_no_self_test_is_a_mistake() -> None:
    result = edgewright("bench")
    assert (result.exit_code, "no file is given" in result.stderr) == (2, True)
