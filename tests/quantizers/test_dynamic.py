"""Dynamic int8: each image's own range, weights that are rounded once, and networks that it is not for."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tiny import family, fingerprint, hand_made
from torch import nn

from pipeline._dynamic_linear import DynamicLinear, numbered, quantized_by_image
from pipeline.artifact import Artifact
from pipeline.errors import StageFailed, UsageError
from pipeline.exporters.exporter import Exporter
from pipeline.exporters.onnx import ExportOnnx
from pipeline.exporters.torchscript import ExportTorchScript
from pipeline.model import Model
from pipeline.quantizers.dynamic import Dynamic, Dynamically
from pipeline.quantizers.noise import layer_noise
from pipeline.runtime import Runtime
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.runtimes.torchscript import TorchScript
from pipeline.stage import Context, read_stage


def layers(model: Model) -> list[DynamicLinear]:
    return [layer for layer in model.module.modules() if isinstance(layer, DynamicLinear)]


def accuracy(model: Model, context: Context) -> float:
    validation = context.data.validation
    return float((model.logits_NK(validation.x_NCHW()).argmax(1) == validation.labels_N).mean())


def sqnr_db(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    return float(10 * np.log10(np.square(wanted).sum() / np.square(found - wanted).sum()))


def test_answers_are_kept(dynamic: Model, dense: Model, full_context: Context) -> None:
    x_NCHW = full_context.data.validation.x_NCHW()
    assert accuracy(dense, full_context) > 0.85
    assert accuracy(dynamic, full_context) >= accuracy(dense, full_context) - 0.01
    assert sqnr_db(dense.logits_NK(x_NCHW), dynamic.logits_NK(x_NCHW)) > 30


def test_is_marked_and_keeps_its_input_and_classes(dynamic: Model, dense: Model) -> None:
    assert dynamic.integer
    assert not dense.integer
    assert (dynamic.spec, dynamic.classes) == (dense.spec, dense.classes)
    assert dynamic.blueprint == Dynamically(of=dense.blueprint)
    assert dynamic.blueprint.unquantized() == dense.blueprint


def test_every_weight_is_int8_on_its_outputs_own_grid(dynamic: Model, dense: Model) -> None:
    floats = [layer for layer in dense.module.modules() if isinstance(layer, nn.Linear)]
    assert len(layers(dynamic)) == len(floats) == 3
    assert not any(isinstance(layer, nn.Linear) for layer in dynamic.module.modules())
    for rounded, exact in zip(layers(dynamic), floats, strict=True):
        assert rounded.weight_KF.dtype == torch.int8
        assert rounded.weight_KF.abs().amax(1).tolist() == [127] * exact.out_features
        error = (rounded.weight_KF * rounded.scale_K[:, None] - exact.weight).abs()
        assert bool((error <= 0.501 * rounded.scale_K[:, None]).all())
        assert torch.equal(rounded.bias_K, exact.bias)


def test_an_image_does_not_see_its_neighbours(dynamic: Model, context: Context) -> None:
    """One that is a hundred times as bright would take all steps of a range that they share."""
    x_NCHW = context.data.validation.x_NCHW(0, 8)
    alone = dynamic.logits_NK(x_NCHW[:1])
    x_NCHW[1:] *= 100
    np.testing.assert_allclose(dynamic.logits_NK(x_NCHW)[:1], alone, rtol=1e-4, atol=1e-4)


def test_round_trips(dynamic: Model, context: Context, tmp_path: Path) -> None:
    dynamic.save(tmp_path)
    again = Model.load(tmp_path)
    x_NCHW = context.data.validation.x_NCHW()
    assert again.blueprint == dynamic.blueprint
    assert again.integer
    assert np.array_equal(again.logits_NK(x_NCHW), dynamic.logits_NK(x_NCHW))


def test_the_float_model_is_as_it_was(dense: Model, context: Context) -> None:
    before = fingerprint(dense)
    Dynamic()(dense, context)
    assert fingerprint(dense) == before


def test_no_image_is_needed(dense: Model, dynamic: Model, full_context: Context) -> None:
    none = full_context.data.calibration.take(np.arange(0))
    bare = replace(full_context, data=replace(full_context.data, calibration=none, train=none))
    assert fingerprint(Dynamic()(dense, bare)) == fingerprint(dynamic)


def test_portable_weights_never_saturate(dense: Model, context: Context, tmp_path: Path) -> None:
    """The two largest weights of one sign that an output has stay within 128 steps, also once it is loaded again."""
    model = Dynamic(portable=True)(dense, context)
    model.save(tmp_path)
    for layer in (*layers(model), *layers(Model.load(tmp_path))):
        ordered = layer.weight_KF.long().sort(1).values
        assert int(ordered[:, -2:].clamp(min=0).sum(1).max()) <= 128
        assert int(ordered[:, :2].clamp(max=0).sum(1).min()) >= -128
        assert int(ordered.abs().max()) >= 62
    usual = Dynamic()(dense, context)
    assert max(int(layer.weight_KF.long().sort(1).values[:, -2:].sum(1).max()) for layer in layers(usual)) > 200


def test_layers_can_stay_float(dense: Model, dynamic: Model, context: Context, tmp_path: Path) -> None:
    names = [name for name, layer in dense.module.named_modules() if isinstance(layer, nn.Linear)]
    model = Dynamic(floats=(names[-1],))(dense, context)
    model.save(tmp_path)
    for one in (model, Model.load(tmp_path)):
        assert len(layers(one)) == len(layers(dynamic)) - 1
        assert type(one.module.get_submodule(names[-1])) is nn.Linear


@pytest.mark.parametrize(
    ("floats", "words"), [(("head",), "no linear layer 'head'"), (("1", "4", "7"), "would quantize nothing")]
)
def test_layers_that_make_no_sense_are_refused(floats: tuple[str, ...], words: str, dense: Model) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        Dynamic(floats=floats)(dense, None)  # type: ignore[arg-type]
    assert caught.value.fix


@pytest.mark.parametrize("name", ["lenet", "mobilenet_v3_small", "cifar_resnet20"])
def test_a_cnn_is_refused_with_the_reason(name: str, untrained: Model, context: Context) -> None:
    with pytest.raises(UsageError, match=r"\d\d\.\d % of this network's MACs are convolutions") as caught:
        Dynamic()(family(name, untrained), context)
    assert "PostTraining" in caught.value.fix
    assert len(caught.value.lines()) <= 6


def test_a_weight_that_is_not_a_number_is_named(dense: Model, context: Context) -> None:
    module = copy.deepcopy(dense.module)
    with torch.no_grad():
        next(module.parameters())[0, 0] = torch.nan
    with pytest.raises(StageFailed, match=r"1\.weight has values that are NaN"):
        Dynamic()(replace(dense, module=module), context)


class Patches(nn.Module):
    """A convolution of few MACs, whose patches linear layers without bias take one by one, and all together."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(1, 8, 4, stride=4, bias=False), nn.BatchNorm2d(8)
        self.each, self.head = nn.Linear(8, 128, bias=False), nn.Linear(16 * 128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.patches(x))).flatten(2).transpose(1, 2)
        return self.head(torch.relu(self.each(x)).flatten(1))


def test_a_network_of_mostly_linear_layers_keeps_its_convolutions(context: Context) -> None:
    model = replace(hand_made(Patches, channels=1), spec=context.data.spec, classes=context.data.classes)
    found = Dynamic()(model, context)
    x_NCHW = context.data.validation.x_NCHW()
    assert [tuple(layer.weight_KF.shape) for layer in layers(found)] == [(128, 8), (10, 2048)]
    assert sqnr_db(model.logits_NK(x_NCHW), found.logits_NK(x_NCHW)) > 30
    rebuilt = replace(found, module=found.blueprint.build(found.state))
    assert np.array_equal(rebuilt.logits_NK(x_NCHW), found.logits_NK(x_NCHW))


@pytest.mark.parametrize(("exporter", "runtime"), [(ExportOnnx, OnnxRuntime), (ExportTorchScript, TorchScript)])
def test_layers_over_several_places_are_exported(
    exporter: type[Exporter], runtime: type[Runtime], context: Context, tmp_path: Path
) -> None:
    """A linear layer that reads (N, places, F), one without a bias, and a convolution that stays float."""
    model = replace(hand_made(Patches, channels=1), spec=context.data.spec, classes=context.data.classes)
    found, x_NCHW = Dynamic()(model, context), context.data.validation.x_NCHW(0, 4)
    exporter()(found, context).save(tmp_path)
    session = runtime().open(Artifact.load(tmp_path), 1)
    answers = np.concatenate([session(x_NCHW[i : i + 1]) for i in range(4)])
    assert sqnr_db(found.logits_NK(x_NCHW), answers + 1e-9) > 40


def dynamic_quantize_linear(x: NDArray[np.float32]) -> tuple[NDArray[np.uint8], float, int]:
    """ONNX Runtime's own."""
    names = {"q": TensorProto.UINT8, "s": TensorProto.FLOAT, "z": TensorProto.UINT8}
    graph = helper.make_graph(
        [helper.make_node("DynamicQuantizeLinear", ["x"], list(names))],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in names.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    integers, scale, zero_point = session.run(None, {"x": x})
    return integers, float(scale), int(zero_point)


@given(
    values=st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=12),
    factor=st.sampled_from([1.0, 1e-3, 1e3]),
    sign=st.sampled_from([None, 1, -1]),
)
def test_quantization_is_the_runtimes(values: list[float], factor: float, sign: int | None) -> None:
    x = np.array([values], np.float32) * np.float32(factor)
    x = x if sign is None else sign * np.abs(x)
    integers, scale, zero_point = dynamic_quantize_linear(x)
    found, step = quantized_by_image(torch.from_numpy(x))
    assert float(step) == pytest.approx(scale, rel=1e-6)
    assert found.long().tolist() == (integers.astype(int) - zero_point).tolist()


@pytest.mark.parametrize("value", [0.0, 3.0, -3.0])
def test_constant_activations(value: float) -> None:
    x = torch.full((2, 5), value)
    integers, step = quantized_by_image(x)
    assert torch.allclose(integers * step, x)


def test_noise_is_told_for_every_layer(dynamic: Model, context: Context) -> None:
    x_NCHW = context.data.validation.x_NCHW(0, 4)
    before = dynamic.logits_NK(x_NCHW)
    noise = layer_noise(dynamic, x_NCHW)
    assert list(noise) == numbered(3) == ["dynamic_linear", "dynamic_linear_1", "dynamic_linear_2"]
    assert all(25 < one < 80 for one in noise.values())
    assert np.array_equal(dynamic.logits_NK(x_NCHW), before)


def test_noise_is_that_of_the_layer(dynamic: Model, context: Context) -> None:
    """A coarser second layer is heard from there on, and not before."""
    coarse = replace(dynamic, module=copy.deepcopy(dynamic.module))
    second = layers(coarse)[1]
    second.weight_KF.copy_(torch.round(second.weight_KF / 16) * 16)
    fine, loud = (layer_noise(model, context.data.validation.x_NCHW(0, 4)) for model in (dynamic, coarse))
    assert loud["dynamic_linear"] == fine["dynamic_linear"]
    assert loud["dynamic_linear_1"] < fine["dynamic_linear_1"] - 6


def test_options_survive_yaml() -> None:
    stage = Dynamic(portable=True, floats=("1",))
    assert read_stage(stage.written(), "here") == stage
    with pytest.raises(UsageError, match="unknown key"):
        read_stage({"Dynamic": {"calibration": "mse"}}, "here")
