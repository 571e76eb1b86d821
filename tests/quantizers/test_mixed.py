"""Any layers in float: as the stage would make it, and no more is computed than has changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from planted import VALUES, WEIGHTS, healthy
from tiny import hand_made, inputs
from torch import nn
from torch.nn import functional as F

from pipeline.errors import UsageError
from pipeline.folding import folded
from pipeline.model import Model
from pipeline.quantizers._annotation import with_bridges
from pipeline.quantizers._mixed import Mixed
from pipeline.quantizers.post_training import PostTraining
from pipeline.quantizers.quantized import prepare, quantized
from pipeline.stage import Context

PLAIN = PostTraining(rounding="nearest", correct_bias=False, calibration="min_max")


def mixed(model: Model, context: Context, stage: PostTraining = PLAIN) -> Mixed:
    return stage.mixed(stage.calibrated(model, context))


@pytest.fixture(scope="module")
def model(context: Context) -> Model:
    return healthy(context)


@pytest.fixture(scope="module")
def network(model: Model, context: Context) -> Mixed:
    return mixed(model, context)


@pytest.fixture(scope="module")
def x_1CHW(context: Context) -> torch.Tensor:
    return torch.from_numpy(context.data.validation.x_NCHW(0, 1))


LAYERS = ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "add", "adaptive_avg_pool2d", "linear")


def test_layers_are_what_computes_from_integers(network: Mixed) -> None:
    assert network.layers == LAYERS
    assert network.ordered({"linear", "conv2d_1", "no layer"}) == ("conv2d_1", "linear")


def test_units_are_layers_and_what_lies_around_a_tensor(network: Mixed) -> None:
    units = network.units()
    assert units[: len(LAYERS)] == tuple((name,) for name in LAYERS)
    assert set(units[len(LAYERS) :]) == {
        ("conv2d", "conv2d_1"),
        VALUES,
        ("conv2d_2", "conv2d_3", "add"),  # what both branches of the residual read
        ("conv2d_3", "add"),
        ("add", "adaptive_avg_pool2d"),
        ("adaptive_avg_pool2d", "linear"),
    }


def test_all_in_float_is_the_float_network(network: Mixed, model: Model, x_1CHW: torch.Tensor) -> None:
    found = network.run(x_1CHW, network.layers)[network.logits_node]
    torch.testing.assert_close(found, model.module(x_1CHW).detach(), rtol=1e-5, atol=1e-5)


CHOICES: list[tuple[str, ...]] = [
    (),
    ("conv2d",),
    (WEIGHTS,),
    VALUES,
    ("conv2d_3", "add"),
    ("add",),
    LAYERS[2:],
    LAYERS,
]


@pytest.mark.parametrize("floats", CHOICES, ids=",".join)
def test_any_choice_is_what_the_stage_makes(
    floats: tuple[str, ...], network: Mixed, model: Model, context: Context, x_1CHW: torch.Tensor
) -> None:
    made = PLAIN.model_copy(update={"floats": floats})(model, context)
    found = network.run(x_1CHW, floats)[network.logits_node]
    np.testing.assert_allclose(found.numpy(), made.logits_NK(x_1CHW.numpy()), atol=1e-4)


@given(was=st.sets(st.sampled_from(LAYERS)), floats=st.sets(st.sampled_from(LAYERS)))
def test_what_is_computed_again_is_what_changed(
    was: set[str], floats: set[str], network: Mixed, x_1CHW: torch.Tensor
) -> None:
    before = network.run(x_1CHW, was)
    kept = dict(before)
    assert torch.equal(network.again(before, was, floats), network.run(x_1CHW, floats)[network.logits_node])
    assert before == kept


class Gated(nn.Module):
    """Hard-swish, a squeeze-excite gate and a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.two, self.gate = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.hardswish(self.norm(self.one(x)))
        y = torch.relu(self.two(x))
        y = x + y * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(y, 1)))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(y, 1), 1))


GATES: list[tuple[str, ...]] = [
    ("hardsigmoid",),
    ("conv2d", "hardsigmoid_default", "mul_tensor"),
    ("adaptive_avg_pool2d", "conv2d_2", "hardsigmoid"),
    ("conv2d_2",),
    ("hardsigmoid_default", "mul", "add"),
]


@pytest.mark.parametrize("floats", GATES, ids=",".join)
def test_gates_and_swishes(floats: tuple[str, ...], context: Context, x_1CHW: torch.Tensor) -> None:
    model = replace(hand_made(Gated, channels=1), spec=context.data.spec, classes=context.data.classes)
    found = PLAIN.calibrated(model, context)
    network, made = PLAIN.mixed(found), quantized(model, PLAIN.rounded(found, floats), floats)
    exact = network.run(x_1CHW, network.layers)[network.logits_node]
    torch.testing.assert_close(exact, model.module(x_1CHW).detach(), rtol=1e-4, atol=1e-5)
    int8, got = (network.run(x_1CHW, choice)[network.logits_node] for choice in ((), floats))
    # A gate of fixed grid has another one beside float layers: that, and no more, is only like it.
    assert (got - torch.from_numpy(made.logits_NK(x_1CHW.numpy()))).norm() < 0.3 * (int8 - exact).norm()


class Bridges(nn.Module):
    """What moves and clamps values between layers."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(36, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu6(self.one(F.pad(x, (0, 1, 0, 1)))), 2)
        return self.head(torch.flatten(F.relu(self.two(F.pad(x, (0, 1, 0, 1)))), 1))


BETWEEN = {
    (): set(),
    ("conv2d",): {"pad"},
    ("conv2d_1",): set(),
    ("conv2d", "conv2d_1"): {"pad", "relu6", "max_pool2d", "pad_1"},
    ("conv2d_1", "linear"): {"relu", "flatten"},
    ("conv2d", "linear"): {"pad"},
}


@pytest.mark.parametrize("floats", BETWEEN)
def test_between_float_layers_nothing_is_quantized(floats: tuple[str, ...]) -> None:
    model = hand_made(Bridges, edge=10)
    prepared = prepare(folded(model.module), model.spec, floats)
    assert with_bridges(prepared.graph, floats) == {*floats, *BETWEEN[floats]}
    quantized_ = {node.args[0].name for node in prepared.graph.nodes if node.op == "call_module"}
    assert not quantized_ & BETWEEN[floats]
    with torch.no_grad():
        assert prepared(inputs(model, 2)).shape == (2, 2)


def test_a_layer_that_is_not_there_is_named(model: Model, context: Context) -> None:
    with pytest.raises(UsageError, match="no layer is called 'conv2d_22' — did you mean 'conv2d_2'"):
        PostTraining(floats=("conv2d_22",))(model, context)


def test_what_was_found_serves_every_choice(model: Model, context: Context) -> None:
    """Rounding one choice leaves no trace in the next."""
    stage = PostTraining(images=8)
    found = stage.calibrated(model, context)
    x_NCHW = context.data.validation.x_NCHW(0, 8)
    first = quantized(model, stage.rounded(found, ())).logits_NK(x_NCHW)
    quantized(model, stage.rounded(found, (WEIGHTS,)), (WEIGHTS,))
    assert np.array_equal(quantized(model, stage.rounded(found, ())).logits_NK(x_NCHW), first)
    assert np.array_equal(stage(model, context).logits_NK(x_NCHW), first)
