"""Int8: what is quantized, how well it answers, and that it is rebuilt from data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import family, fingerprint, hand_made, inputs
from torch import fx, nn
from torch.nn import functional as F
from torchao.quantization.pt2e.fake_quantize import FakeQuantize, FixedQParamsFakeQuantize

from pipeline.errors import DataError
from pipeline.folding import folded
from pipeline.model import Blueprint, Model
from pipeline.models.architecture import Network
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.plugin import read
from pipeline.pruners.structured import Prune
from pipeline.quantizers._annotation import SMALLEST_SCALE, SwishRange
from pipeline.quantizers.aware import QuantizationAware
from pipeline.quantizers.post_training import PostTraining
from pipeline.quantizers.quantized import Quantized, prepare, spell_out_hard_swish
from pipeline.spec import InputSpec
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


def test_pixels_on_a_grid_keep_it_through_the_padding() -> None:
    """Else the first convolution would quantize them again, on a grid that it has observed."""
    network = Network(family=MobileNetV2(width=0.25, padding="tensorflow"), shape=(3, 32, 32), classes=10)
    spec = InputSpec(size=(32, 32), resize=32, mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    prepared = prepare(folded(network.skeleton()), spec)
    [node] = prepared.graph.find_nodes(op="placeholder")
    found = []
    while str(node.target) != "aten.conv2d.default":
        [node] = node.users
        found += [prepared.get_submodule(str(node.target))] if node.op == "call_module" else []
    assert [type(layer) for layer in found] == [FixedQParamsFakeQuantize] * 2  # before the padding and after it
    assert {float(layer.scale) for layer in found} == {1 / 128}


class Swishes(nn.Module):
    """A hard-swish that alone reads, one whose input a sum reads too, and a gate of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.gate, self.head = nn.Conv2d(8, 8, 1), nn.Linear(8, 10)
        self.swish = nn.Hardswish()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.swish(self.one(x))
        y = self.two(x)
        y = y + F.hardswish(y)
        y = y * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(y, 1)))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(y, 1), 1))


class SwishesInPlace(Swishes):
    def __init__(self) -> None:
        super().__init__()
        self.swish = nn.Hardswish(inplace=True)


@pytest.fixture
def swishes(context: Context) -> Model:
    return replace(hand_made(Swishes, channels=1), spec=context.data.spec, classes=context.data.classes)


def targets(module: fx.GraphModule) -> list[str]:
    return [str(node.target) for node in module.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("build", [Swishes, SwishesInPlace])
def test_hard_swish_is_spelled_out(build: type[nn.Module]) -> None:
    model = hand_made(build, channels=1)
    x_NCHW = 5 * inputs(model, 4)
    captured = torch.export.export(model.module, (x_NCHW,)).run_decompositions({}).module()
    before = targets(captured)
    with torch.no_grad():
        wanted = captured(x_NCHW)
        found = spell_out_hard_swish(captured)(x_NCHW)
    after = targets(captured)
    assert before.count("aten.hardswish.default") == 2
    assert not [target for target in after if "hardswish" in target]
    assert after.count("aten.hardsigmoid.default") == before.count("aten.hardsigmoid.default") + 2
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)
    captured.graph.lint()


def test_no_network_is_prepared_with_a_hard_swish(trained: Model) -> None:
    prepared = prepare(folded(trained.module), trained.spec)
    assert not [target for target in targets(prepared) if "hardswish" in target]
    assert "aten.hardsigmoid.default" in targets(prepared)


def grid(prepared: fx.GraphModule, node: fx.Node) -> FakeQuantize:
    """The quantizer of what a node gives."""
    layers = {prepared.get_submodule(str(user.target)) for user in node.users}
    assert len(layers) == 1
    layer = layers.pop()
    assert isinstance(layer, FakeQuantize)
    return layer


def gates(prepared: fx.GraphModule) -> list[tuple[FakeQuantize, FakeQuantize]]:
    """Before and after each hard sigmoid, in order."""
    found = [node for node in prepared.graph.nodes if str(node.target) == "aten.hardsigmoid.default"]
    return [(prepared.get_submodule(str(node.args[0].target)), grid(prepared, node)) for node in found]


def is_fixed(layer: FakeQuantize, scale: float, zero_point: int) -> bool:
    found = float(layer.scale), int(layer.zero_point)
    return isinstance(layer, FixedQParamsFakeQuantize) and found == (pytest.approx(scale), zero_point)


def test_grids_around_gates(swishes: Model) -> None:
    alone, shared, channels = gates(prepare(folded(swishes.module), swishes.spec))
    assert type(alone[0].activation_post_process) is SwishRange
    assert is_fixed(alone[1], 1 / 255, 0)
    assert not isinstance(shared[0], FixedQParamsFakeQuantize)
    assert not isinstance(shared[0].activation_post_process, SwishRange)  # the sum sees what lies below −3
    assert is_fixed(shared[1], 1 / 255, 0)
    assert is_fixed(channels[0], 6 / 256, 128)
    assert is_fixed(channels[1], 1 / 256, 0)


def test_gates_of_a_real_network(trained: Model) -> None:
    kinds = {"swish": 0, "channels": 0}
    for before, after in gates(prepare(folded(trained.module), trained.spec)):
        if is_fixed(before, 6 / 256, 128):
            assert is_fixed(after, 1 / 256, 0)
            kinds["channels"] += 1
        else:
            assert is_fixed(after, 1 / 255, 0)
            kinds["swish"] += 1
    modules = list(trained.module.modules())
    assert kinds["swish"] == sum(isinstance(layer, nn.Hardswish) for layer in modules) > 0
    assert kinds["channels"] == sum(isinstance(layer, nn.Hardsigmoid) for layer in modules) > 0


def test_between_the_grids_of_a_gate_is_no_arithmetic() -> None:
    """Each of the 256 steps before it stands for the same step after it."""
    steps = torch.arange(256, dtype=torch.float64)
    assert torch.equal(torch.round(F.hardsigmoid(6 / 256 * (steps - 128)) * 256), steps)


@pytest.mark.parametrize(
    ("seen", "low", "high"),
    [
        ((-20.0, 6.0), -3, 6),
        ((-1.0, 6.0), -1, 6),
        ((2.0, 4.0), 0, 4),
        ((-20.0, -2.0), -3, 0),
        ((-20.0, -5.0), -3, 0),
    ],
)
def test_a_swish_range_never_reaches_below_minus_three(seen: tuple[float, float], low: float, high: float) -> None:
    observer = SwishRange(averaging_constant=0.05, dtype=torch.uint8, quant_min=0, quant_max=255, eps=SMALLEST_SCALE)
    observer(torch.tensor(seen))
    scale, zero_point = (float(value) for value in observer.calculate_qparams())
    assert -zero_point * scale == pytest.approx(low, abs=scale)
    assert (255 - zero_point) * scale == pytest.approx(high, abs=scale)


def test_converted_networks_waste_no_step_below_minus_three(int8: Model, swishes: Model, context: Context) -> None:
    state = {name: tensor.clone() for name, tensor in swishes.state.items()}
    state["one.bias"] -= 10
    deep = PostTraining()(replace(swishes, module=swishes.blueprint.build(state), state=state), context)
    found = []
    for model in (deep, int8):
        for node in model.module.graph.nodes:
            if str(node.target) == "aten.hardsigmoid.default":
                _, scale, zero_point = node.args[0].args[:3]
                found.append((-zero_point * scale, scale))
    assert found[0][0] == pytest.approx(-3, abs=found[0][1])
    others = [low >= -3 - scale for low, scale in found[2:]]  # the second of ``deep`` is read by a sum too
    assert len(others) > 10
    assert all(others)
