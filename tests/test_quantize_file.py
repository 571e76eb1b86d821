"""``edgewright quantize``: other people's ONNX files, made int8, checked, and refused with a reason."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from tiny import FAMILIES, randomized
from tiny_run import edgewright
from torch import nn

from pipeline.errors import DataError, UsageError
from pipeline.quantize_file import Wanted, chosen, images_in, quantize_file
from pipeline.quantizers.onnx_file import LOWEST_SWISH, measured_ranges, simplified
from pipeline.quantizers.onnx_pairs import pair_steps
from pipeline.quantizers.onnx_read import read_float
from pipeline.rewrites.islands import islands
from pipeline.spec import InputSpec
from pipeline.study import Benchmark

QUICK = Benchmark(seconds=0.5, sittings=4, rounds=1, calls=1, cold_starts=0)
FAST = ("--seconds", "0.5")
SHAPE = (3, 32, 32)
WANTED = Wanted(images=24)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty pictures with structure, in two folders, and a file that is none."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for index in range(60):
        coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        place = folder / "ab"[index % 2] / f"{index}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(coarse).resize((48, 40)).save(place)
    (folder / "notes.txt").write_text("no picture")
    return folder


def exported(path: Path, module: nn.Module, **options: Any) -> Path:
    """As most files of today were made: by PyTorch's older exporter."""
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(module.eval(), (torch.zeros(1, *SHAPE),), path, dynamo=False, opset_version=17, **options)
    return path


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MobileNetV3 with hard swish and squeeze-excite."""
    torch.manual_seed(1)
    module = randomized(FAMILIES["mobilenet_v3_small"].network(SHAPE, 10), 0)
    return exported(tmp_path_factory.mktemp("floats") / "net.onnx", module)


def test_answers_are_kept_on_images_that_calibration_did_not_see(
    floats: Path, photographs: Path, tmp_path: Path
) -> None:
    made = quantize_file(floats, photographs, tmp_path, WANTED, QUICK)
    assert made.file == str(tmp_path / "net-int8.onnx")
    assert (made.calibrated_on, made.checked_on, made.unseen) == (24, 24, True)
    assert made.parity.agreement >= 0.9
    assert made.parity.sqnr_db >= 35
    assert made.left == ()
    assert made.float_bytes == floats.stat().st_size
    assert (
        made.int8_bytes == Path(made.file).stat().st_size < 0.75 * made.float_bytes
    )  # a tiny network's graph weighs as much as its weights


def test_everything_between_image_and_logits_is_integer(floats: Path, photographs: Path, tmp_path: Path) -> None:
    made = quantize_file(floats, photographs, tmp_path, WANTED, QUICK)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(made.file, options, providers=["CPUExecutionProvider"])
    kinds = [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]
    assert kinds.count("QuantizeLinear") == 1
    assert {"Conv", "HardSigmoid", "Mul", "Add", "Gemm", "DequantizeLinear"}.isdisjoint(kinds)


def test_few_images_are_checked_too_and_that_is_said(floats: Path, photographs: Path, tmp_path: Path) -> None:
    made = quantize_file(floats, photographs, tmp_path, Wanted(images=256), QUICK)
    assert (made.calibrated_on, made.checked_on, made.unseen) == (60, 60, False)


@pytest.mark.parametrize("portable", [True, False])
def test_portable_weights_never_saturate(portable: bool, floats: Path, photographs: Path, tmp_path: Path) -> None:
    """No two weights of an output and of one sign sum to more than 128 steps, though some have more than 64."""
    made = quantize_file(floats, photographs, tmp_path, WANTED.model_copy(update={"portable": portable}), QUICK)
    arrays = [onnx.numpy_helper.to_array(value) for value in onnx.load(made.file).graph.initializer]
    weights = [array.reshape(len(array), -1).astype(int) for array in arrays if array.dtype == np.int8]
    ordered = [np.sort(rows, axis=1) for rows in weights if rows.shape[1] > 1]
    pairs = [max(rows[:, -2:].sum(1).max(), -rows[:, :2].sum(1).min()) for rows in ordered]
    assert len(pairs) > 20
    assert bool(max(pairs) <= 128) is portable
    assert max(rows[:, -1].max() for rows in ordered) > 64
    assert made.parity.sqnr_db > 15


@pytest.mark.parametrize("transposed", [True, False])
def test_steps_are_counted_along_a_weights_outputs(transposed: bool) -> None:
    weight_KC = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    made = {"gemm": weight_KC if transposed else weight_KC.T, "product": weight_KC.T}
    nodes = [
        helper.make_node("Gemm", ["x", "gemm"], ["y"], transB=int(transposed)),
        helper.make_node("MatMul", ["x", "product"], ["z"]),
        helper.make_node("MatMul", ["x", "y"], ["made here, no weight"]),
    ]
    constants = [onnx.numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in made.items()]
    steps = pair_steps(helper.make_model(helper.make_graph(nodes, "g", [], [], constants)))
    assert steps.keys() == made.keys()
    for name, entries in steps.items():
        assert made[name].shape[entries[0]["axis"]] == len(entries) == 3
        assert [entry["scale"] for entry in entries] == pytest.approx([7 / 126, 15 / 126, 23 / 126])
        assert {entry["zero_point"] for entry in entries} == {0}


def test_the_command_says_what_came_of_it(floats: Path, photographs: Path, tmp_path: Path) -> None:
    said = edgewright("quantize", floats, "--data", photographs, "--out", tmp_path, "--images", "8", *FAST)
    assert said.exit_code == 0, said.stderr
    assert "net-int8.onnx, calibrated on 8 images" in said.stdout
    assert "float     no operator" in said.stdout
    said = edgewright("quantize", floats, "--data", photographs, "--out", tmp_path, "--images", "8", *FAST, "--json")
    assert json.loads(said.stdout)["calibrated_on"] == 8


class Odd(nn.Module):
    """With an operator that no integer kernel exists for."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.erf(self.two(torch.erf(self.one(x)))).mean([2, 3]))


def test_operators_without_integer_kernels_stay_float_and_are_listed(photographs: Path, tmp_path: Path) -> None:
    made = quantize_file(exported(tmp_path / "odd.onnx", Odd()), photographs, tmp_path, WANTED, QUICK)
    assert [text.partition(" ")[2] for text in made.left] == ["(Erf)", "(Erf)"]
    assert made.parity.agreement >= 0.8


def test_external_data_and_any_batch_are_taken(photographs: Path, tmp_path: Path) -> None:
    axes = {"input": {0: "batch"}}
    path = exported(tmp_path / "any.onnx", Odd(), input_names=["input"], dynamic_axes=axes)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="any.bin", size_threshold=0)
    made = quantize_file(path, photographs, tmp_path, WANTED, QUICK)
    assert made.parity.agreement >= 0.8
    assert made.float_bytes == path.stat().st_size + (tmp_path / "any.bin").stat().st_size
    (tmp_path / "any.bin").unlink()
    said = edgewright("quantize", path, "--data", photographs, *FAST)
    assert said.exit_code == 3
    assert "any.bin" in said.stderr


def test_any_height_and_width_need_to_be_told(photographs: Path, tmp_path: Path) -> None:
    axes = {"input": {2: "height", 3: "width"}}
    path = exported(tmp_path / "any.onnx", Odd(), input_names=["input"], dynamic_axes=axes)
    said = edgewright("quantize", path, "--data", photographs, "--out", tmp_path, *FAST)
    assert said.exit_code == 2
    assert "--input" in said.stderr
    said = edgewright("quantize", path, "--data", photographs, "--out", tmp_path, "--input", "3x32x32", *FAST)
    assert said.exit_code == 0, said.stderr


def test_several_images_a_call_are_refused(photographs: Path, tmp_path: Path) -> None:
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(Odd().eval(), (torch.zeros(4, *SHAPE),), tmp_path / "four.onnx", dynamo=False)
    said = edgewright("quantize", tmp_path / "four.onnx", "--data", photographs, *FAST)
    assert said.exit_code == 2
    assert "takes 4 images a call" in said.stderr


def test_a_network_that_takes_pixels_is_told_from_a_quantized_one(photographs: Path, tmp_path: Path) -> None:
    path = old(tmp_path / "pixels.onnx", opset=17)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    model.graph.initializer.append(helper.make_tensor("s", TensorProto.FLOAT, (), [0.02]))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["x", "s"], ["f"]))
    model.graph.node[1].input[0] = "f"
    onnx.save(model, path)
    said = edgewright("quantize", path, "--data", photographs, *FAST)
    assert said.exit_code == 2
    assert "takes 3 channels of uint8" in said.stderr


class Curved(nn.Module):
    """What most files of others have and ours have not: curves, halves that are joined again, and norms left over."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.norm = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16)
        self.three, self.rows, self.head = nn.Linear(16, 8, bias=False), nn.BatchNorm1d(8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = nn.functional.silu(self.one(x)).chunk(2, 1)
        x = torch.cat([left, nn.functional.leaky_relu(right)], 1)
        x = self.norm(torch.relu(self.two(x)))
        x = (x * torch.softmax(x, 1)).mean([2, 3])
        return self.head(torch.relu(self.rows(self.three(x))))


@pytest.mark.parametrize("dynamo", [False, True])
def test_nothing_stays_float_that_an_integer_kernel_computes(dynamo: bool, photographs: Path, tmp_path: Path) -> None:
    """By the graph that the runtime made of it, and by our list; both of PyTorch's exporters."""
    torch.manual_seed(0)
    path, module = tmp_path / "curved.onnx", randomized(Curved(), 0)
    if dynamo:
        torch.onnx.export(module.eval(), (torch.zeros(1, *SHAPE),), path, dynamo=True, verbose=False)
    else:
        exported(path, module)
    made = quantize_file(path, photographs, tmp_path, WANTED, QUICK)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(made.file, options, providers=["CPUExecutionProvider"])
    assert islands(tmp_path / "optimized.onnx") == ()
    assert made.left == ()
    assert made.parity.sqnr_db > 15


@pytest.mark.parametrize("what", ["one grey", "dead layer"])
def test_constant_activations(what: str, floats: Path, tmp_path: Path) -> None:
    for index in range(3):
        Image.new("RGB", (40, 40), (128, 128, 128)).save(tmp_path / f"{index}.png")
    module = Odd()
    if what == "dead layer":
        for parameter in module.one.parameters():
            parameter.data.zero_()
    path = exported(tmp_path / "dead.onnx", module) if what == "dead layer" else floats
    made = quantize_file(path, tmp_path, tmp_path, WANTED, QUICK)
    assert made.parity.agreement == 1
    assert made.parity.sqnr_db > 20


def old(path: Path, opset: int = 11) -> Path:
    """A small classifier of an old operator set."""
    weight = helper.make_tensor("w", TensorProto.FLOAT, (4, 3, 3, 3), np.random.default_rng(0).normal(size=108))
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *SHAPE))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4))],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=6), path)
    return path


def test_an_old_operator_set_is_raised_when_asked(photographs: Path, tmp_path: Path) -> None:
    path = old(tmp_path / "old.onnx")
    said = edgewright("quantize", path, "--data", photographs, *FAST)
    assert said.exit_code == 2
    assert "operator set 11" in said.stderr
    assert "--convert" in said.stderr
    said = edgewright("quantize", path, "--data", photographs, "--out", tmp_path, "--convert", *FAST)
    assert said.exit_code == 0, said.stderr


def test_a_quantized_file_is_refused(floats: Path, photographs: Path, tmp_path: Path) -> None:
    made = quantize_file(floats, photographs, tmp_path, WANTED, QUICK)
    with pytest.raises(UsageError, match="quantized already"):
        read_float(Path(made.file))


@pytest.mark.parametrize("data", ["nowhere", "empty"])
def test_a_folder_without_images_is_refused(floats: Path, tmp_path: Path, data: str) -> None:
    (tmp_path / "empty").mkdir()
    said = edgewright("quantize", floats, "--data", tmp_path / data, *FAST)
    assert said.exit_code == 2
    assert data in said.stderr


@pytest.mark.parametrize(
    ("option", "value"), [("--mean", "0.5"), ("--std", "0.5,0.5,none"), ("--calibration", "guess"), ("--std", "0,1,1")]
)
def test_options_that_do_not_fit_are_refused(floats: Path, photographs: Path, option: str, value: str) -> None:
    said = edgewright("quantize", floats, "--data", photographs, option, value, *FAST)
    assert said.exit_code == 2
    assert len(said.stderr.splitlines()) <= 6


def test_text_is_no_onnx_file(photographs: Path, tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("this is no protobuf")
    said = edgewright("quantize", path, "--data", photographs, *FAST)
    assert said.exit_code in (2, 3)
    assert "text.onnx" in said.stderr


def test_values_that_are_not_finite_end_it(photographs: Path, tmp_path: Path) -> None:
    module = Odd()
    module.one.weight.data[0, 0, 0, 0] = torch.nan
    said = edgewright("quantize", exported(tmp_path / "nan.onnx", module), "--data", photographs, *FAST)
    assert said.exit_code == 4
    assert "NaN or infinite, first in what /one/Conv (Conv) gives" in said.stderr


def test_images_are_spread_over_the_folder(photographs: Path) -> None:
    spec = InputSpec(size=(32, 32), resize=32)
    seen, others = chosen(images_in(photographs, spec), 10)
    names = [set(part.images.hashes()) for part in (seen, others)]
    assert [len(part) for part in names] == [10, 10]
    assert not names[0] & names[1]
    assert {Path(name).parent.name for name in names[0]} == {"a", "b"}
    with pytest.raises(DataError):
        images_in(photographs / "notes.txt", spec)


def test_ranges_do_not_depend_on_how_images_come(floats: Path, photographs: Path) -> None:
    model = simplified(read_float(floats), SHAPE)
    x_NCHW = images_in(photographs, InputSpec(size=(32, 32), resize=32)).x_NCHW(0, 6)
    assert measured_ranges(model, [x_NCHW], "min_max") == measured_ranges(model, [x_NCHW[:1], x_NCHW[1:]], "min_max")


def test_ranges_end_where_nobody_can_tell_the_difference(floats: Path, photographs: Path) -> None:
    model = simplified(read_float(floats), SHAPE)
    x_NCHW = images_in(photographs, InputSpec(size=(32, 32), resize=32)).x_NCHW(0, 6)
    ranges = measured_ranges(model, [20 * x_NCHW], "min_max")
    gates = [node for node in model.graph.node if node.op_type == "HardSigmoid"]
    assert len(gates) > 10
    assert all(ranges[gate.input[0]][0] >= LOWEST_SWISH for gate in gates)
    assert {ranges[gate.output[0]] for gate in gates} == {(0.0, 1.0), (0.0, 255 / 256)}


def test_no_image_is_an_error(floats: Path) -> None:
    with pytest.raises(UsageError, match="no calibration images"):
        measured_ranges(simplified(read_float(floats), SHAPE), [], "min_max")
