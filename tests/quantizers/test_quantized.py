"""Int8: what is quantized, how well it answers, and that it is rebuilt from data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import family, fingerprint, hand_made, inputs
from torch import nn

from pipeline.errors import DataError
from pipeline.model import Blueprint, Model
from pipeline.plugin import read
from pipeline.pruners.structured import Prune
from pipeline.quantizers._annotation import SMALLEST_SCALE
from pipeline.quantizers.aware import QuantizationAware
from pipeline.quantizers.post_training import PostTraining
from pipeline.quantizers.quantized import Quantized
from pipeline.stage import Context, Stage

WEIGHTED = ("aten.conv2d.default", "aten.linear.default")


def accuracy(model: Model, context: Context) -> float:
    validation = context.data.validation
    return float((model.logits_NK(validation.x_NCHW()).argmax(1) == validation.labels_N).mean())


@pytest.fixture(scope="module")
def aware(trained: Model, context: Context) -> Model:
    return QuantizationAware(epochs=2, batch=32)(trained, context)


@pytest.fixture(scope="module", params=["post-training", "aware"])
def either(request: pytest.FixtureRequest, int8: Model, aware: Model) -> Model:
    return int8 if request.param == "post-training" else aware


def test_top1_is_kept(either: Model, trained: Model, full_context: Context) -> None:
    assert accuracy(either, full_context) >= accuracy(trained, full_context) - 0.05


def test_is_marked_and_keeps_its_input_and_classes(either: Model, trained: Model) -> None:
    assert either.integer
    assert not trained.integer
    assert (either.spec, either.classes) == (trained.spec, trained.classes)
    assert isinstance(either.blueprint, Quantized)
    assert either.blueprint.of == trained.blueprint


def test_every_weight_is_int8(either: Model) -> None:
    """Every convolution and linear layer reads a dequantized int8 constant; no float weights are left."""
    graph = either.module.graph
    layers = [node for node in graph.nodes if str(node.target) in WEIGHTED]
    assert layers
    constants = dict([*either.module.named_buffers(), *either.module.named_parameters()])
    for layer in layers:
        dequantize = layer.args[1]
        assert "dequantize" in str(dequantize.target)
        weight = constants[str(dequantize.args[0].target)]
        assert weight.dtype == torch.int8
        assert int(weight.abs().max()) <= 127
    assert all(tensor.ndim <= 1 for tensor in constants.values() if tensor.is_floating_point())


def test_every_bias_is_on_its_kernels_grid(either: Model) -> None:
    constants = {n: t.detach() for n, t in [*either.module.named_buffers(), *either.module.named_parameters()]}
    for layer in (node for node in either.module.graph.nodes if str(node.target) in WEIGHTED):
        bias = constants[str(layer.args[2].target)]
        step = layer.args[0].args[1] * constants[str(layer.args[1].args[1].target)]
        assert float((bias / step - torch.round(bias / step)).abs().max()) < 0.01


def test_every_activation_is_uint8_with_one_scale(either: Model) -> None:
    quantize = [node for node in either.module.graph.nodes if "quantize_per_tensor" in str(node.target)]
    assert len(quantize) > 20
    for node in quantize:
        _, scale, zero_point, low, high, dtype = node.args[:6]
        assert (low, high, dtype) == (0, 255, torch.uint8)
        assert scale > 0
        assert 0 <= zero_point <= 255


def test_any_batch_gives_the_same_answers(either: Model, context: Context) -> None:
    """Up to a step of int8, where a float sum in another order falls on the other side of a tie."""
    x_NCHW = context.data.validation.x_NCHW(0, 24)
    together, apart = either.logits_NK(x_NCHW), either.logits_NK(x_NCHW, batch=1)
    assert together.shape == (24, 10)
    np.testing.assert_allclose(together, apart, atol=0.05 * np.abs(together).max())


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, bias=False)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.one(x)))
        return self.head(torch.flatten(torch.relu(self.two(x)).mean([2, 3], keepdim=True), 1))


@pytest.fixture
def plain(context: Context) -> Model:
    return replace(hand_made(Plain, channels=1), spec=context.data.spec, classes=context.data.classes)


@pytest.mark.parametrize("stage", [PostTraining(), QuantizationAware(epochs=1, batch=32)])
def test_input_model_is_not_changed(stage: Stage, plain: Model, context: Context) -> None:
    before = fingerprint(plain)
    stage(plain, context)
    assert fingerprint(plain) == before
    assert not any(layer.training for layer in plain.module.modules())


def test_training_moves_the_weights(either: Model, int8: Model, aware: Model) -> None:
    name = "classifier.3.weight"
    assert not torch.equal(int8.state[name], aware.state[name])


def test_round_trip_is_bit_identical(either: Model, tmp_path: Path) -> None:
    either.save(tmp_path)
    again = Model.load(tmp_path)
    x_NCHW = inputs(either, 3).numpy()
    assert np.array_equal(again.logits_NK(x_NCHW), either.logits_NK(x_NCHW))
    assert again.blueprint == either.blueprint
    assert again.integer


def test_blueprint_survives_json(int8: Model) -> None:
    again = read("blueprint", int8.blueprint.written(), "here")
    assert isinstance(again, Blueprint)
    assert again == int8.blueprint


def test_channels_that_died_stay_dead_when_rebuilt(plain: Model, context: Context) -> None:
    """A filter of nothing has no range: its scale is the least one, also in the rebuilt network."""
    state = {name: tensor.clone() for name, tensor in plain.state.items()}
    state["one.weight"][0] = 0
    state["two.weight"][3] = 0
    dead = PostTraining()(replace(plain, module=plain.blueprint.build(state), state=state), context)
    again = replace(dead, module=dead.blueprint.build(dead.state))
    for model in (dead, again):
        scales = [tensor for name, tensor in model.module.named_buffers() if "scale" in name]
        assert min(float(scale.min()) for scale in scales) == SMALLEST_SCALE
    x_NCHW = context.data.validation.x_NCHW()
    assert np.array_equal(dead.logits_NK(x_NCHW), again.logits_NK(x_NCHW))


def test_without_calibration_images(trained: Model, context: Context) -> None:
    none = replace(context.data, calibration=context.data.calibration.take(np.arange(0)))
    with pytest.raises(DataError, match="no calibration images"):
        PostTraining()(trained, replace(context, data=none))


FAMILIES = ["dense", "lenet", "resnet18", "mobilenet_v2_tensorflow", "mobilenet_v3_large", "mobilenet_v4"]


@pytest.mark.parametrize("name", FAMILIES)
def test_pruned_networks_of_every_family(name: str, untrained: Model, context: Context) -> None:
    pruned = Prune(ratio=0.5)(family(name, untrained), context)
    quantized = PostTraining()(pruned, context)
    x_NCHW = context.data.validation.x_NCHW(0, 32)
    wanted, found = pruned.logits_NK(x_NCHW), quantized.logits_NK(x_NCHW)
    signal, noise = wanted - wanted.mean(0), found - wanted
    assert (noise**2).mean() < 0.1 * (signal**2).mean() + 1e-4
