"""Reconstruction: weights rounded for the outputs' sake, and biases that take up what is left."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import hand_made, inputs
from torch import fx, nn
from torch.nn import functional as F

from pipeline.folding import folded
from pipeline.model import Model
from pipeline.quantizers import _reconstruction
from pipeline.quantizers._calibration import calibrate
from pipeline.quantizers._reconstruction import (
    LARGEST,
    Means,
    channel_means,
    reconstruct,
    rounded,
    second_moments,
    sliding_of,
)
from pipeline.quantizers.quantized import observe, prepare, quantized_weight


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def grid(weight: torch.Tensor) -> torch.Tensor:
    """One scale an output, as the network's quantizers have it."""
    return weight.flatten(1).abs().amax(1) / LARGEST


def nearest(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (torch.round(weight.flatten(1) / scale[:, None]) * scale[:, None]).view_as(weight)


def correlated(inputs_: int, samples: int, seed: int, rank: int = 3) -> torch.Tensor:
    """Inputs (samples, inputs) that a few causes explain for the most part."""
    return random(samples, rank, seed=seed) @ random(rank, inputs_, seed=seed + 1) + 0.1 * random(
        samples, inputs_, seed=seed + 2
    )


@given(
    outputs=st.integers(1, 5),
    inputs_=st.sampled_from([1, 2, 9, 130, 257]),
    groups=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 1000),
    coarse=st.sampled_from([1.0, 16.0]),
)
def test_each_weight_is_one_of_its_two_neighbours(
    outputs: int, inputs_: int, groups: int, seed: int, coarse: float
) -> None:
    weight = random(groups * outputs, inputs_, seed=seed)
    scale = grid(weight) * coarse
    x = correlated(inputs_, 40, seed)
    steps, chosen = weight / scale[:, None], rounded(weight, scale, (x.T @ x).repeat(groups, 1, 1)) / scale[:, None]
    assert float((chosen - chosen.round()).abs().max()) < 1e-3
    assert bool(((chosen.round() == steps.floor()) | (chosen.round() == steps.ceil()) | _whole(steps, chosen)).all())
    assert float(chosen.abs().max()) < LARGEST + 0.01


def _whole(steps: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Where a weight lies on the grid already, floor and ceil depend on the last bit."""
    return (steps - chosen).abs() < 1e-3


@given(shape=st.sampled_from([(3, 7), (4, 1), (2, 3, 3, 3), (6, 300)]), seed=st.integers(0, 1000))
def test_where_inputs_are_independent_it_is_nearest_rounding(shape: tuple[int, ...], seed: int) -> None:
    weight = random(*shape, seed=seed)
    scale = grid(weight) * 8
    count = math.prod(shape[1:])
    diagonal = torch.diag(random(count, seed=seed).square() + 0.1)
    for moments in (torch.eye(count), 1e6 * torch.eye(count), diagonal):
        assert torch.equal(rounded(weight, scale, moments[None]), nearest(weight, scale))


def test_outputs_change_less_than_with_nearest_rounding() -> None:
    better, ours, theirs = 0, 0.0, 0.0
    for seed in range(20):
        x, weight = correlated(32, 200, seed), random(8, 32, seed=seed + 1000)
        scale = grid(weight) * 8
        mended, plain = (
            float((x @ (weight - other).T).square().sum())
            for other in (rounded(weight, scale, (x.T @ x)[None]), nearest(weight, scale))
        )
        better, ours, theirs = better + (mended < plain), ours + mended, theirs + plain
    assert better >= 18
    assert ours < 0.3 * theirs


@pytest.mark.parametrize("inputs_", [127, 128, 129, 300])
def test_errors_are_passed_on_from_block_to_block(inputs_: int) -> None:
    """The blocks are only a way to compute it: the result is that of one column after the other."""
    x, weight = correlated(inputs_, 400, 5).double(), random(4, inputs_, seed=6).double()
    scale = grid(weight) * 8
    assert torch.equal(rounded(weight, scale, (x.T @ x)[None]), _one_by_one(weight, scale, x.T @ x))


def _one_by_one(weight: torch.Tensor, scale: torch.Tensor, moments: torch.Tensor) -> torch.Tensor:
    """Round a column, then give those after it the values with which the outputs change least; and so on."""
    count = len(moments)
    damped = moments + 0.01 * moments.diagonal().mean() * torch.eye(count, dtype=moments.dtype)
    exact = weight / scale[:, None]
    left, chosen = exact.clone(), torch.zeros_like(exact)
    for column in range(count):
        now = torch.round(left[:, column])
        chosen[:, column] = now.clamp(exact[:, column].floor(), exact[:, column].ceil())
        rest = slice(column + 1, count)
        error = left[:, column] - chosen[:, column]
        share = torch.linalg.solve(damped[rest, rest], damped[rest, column])
        left[:, rest] += error[:, None] * share
    return chosen * scale[:, None]


@given(groups=st.integers(2, 5), outputs=st.integers(1, 3), seed=st.integers(0, 1000))
def test_groups_are_rounded_each_alone(groups: int, outputs: int, seed: int) -> None:
    weight = random(groups * outputs, 4, 3, 3, seed=seed)
    scale = grid(weight) * 8
    moments = torch.stack([x.T @ x for x in (correlated(36, 80, seed + part) for part in range(groups))])
    parts = zip(weight.chunk(groups), scale.chunk(groups), moments.split(1), strict=True)
    alone = torch.cat([rounded(*part) for part in parts])
    torch.testing.assert_close(rounded(weight, scale, moments), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("silent", [slice(0, 3), slice(5, 6), slice(0, 16)])
def test_inputs_that_are_always_zero(silent: slice) -> None:
    x, weight = correlated(16, 50, 0), random(4, 16, seed=1)
    x[:, silent] = 0
    scale = grid(weight) * 8
    found = rounded(weight, scale, (x.T @ x)[None])
    assert bool(found.isfinite().all())
    assert torch.equal(found[:, silent], nearest(weight, scale)[:, silent])


@pytest.mark.parametrize("dead", [0, 1])
def test_one_group_without_inputs_does_not_touch_the_other(dead: int) -> None:
    x, weight = correlated(9, 50, 0), random(2, 9, seed=1)
    scale = grid(weight) * 8
    moments = (x.T @ x).repeat(2, 1, 1)
    whole = rounded(weight, scale, moments)
    moments[dead] = 0
    found = rounded(weight, scale, moments)
    assert torch.equal(found[1 - dead], whole[1 - dead])
    assert torch.equal(found[dead], nearest(weight, scale)[dead])


def test_a_filter_of_zeros_stays_zero() -> None:
    weight = random(3, 8)
    weight[1] = 0
    x = correlated(8, 40, 0)
    found = rounded(weight, torch.tensor([0.05, 2.0**-16, 0.05]), (x.T @ x)[None])
    assert torch.equal(found[1], torch.zeros(8))


LAYERS: dict[str, nn.Conv2d] = {
    "plain": nn.Conv2d(3, 4, 3),
    "stride": nn.Conv2d(3, 4, 3, stride=2),
    "uneven stride": nn.Conv2d(3, 4, (3, 2), stride=(1, 3), padding=(0, 1)),
    "padding": nn.Conv2d(3, 4, 3, padding=1),
    "dilation": nn.Conv2d(3, 4, 3, padding=2, dilation=2),
    "all of them": nn.Conv2d(4, 6, 3, stride=2, padding=(2, 1), dilation=(2, 1), groups=2),
    "depthwise": nn.Conv2d(4, 4, 3, padding=1, groups=4),
    "widening depthwise": nn.Conv2d(4, 8, 3, groups=4),
    "pointwise": nn.Conv2d(5, 2, 1),
}


def captured(layer: nn.Module, x: torch.Tensor) -> fx.Node:
    """The node of a layer in a graph as quantizers see it."""
    graph = torch.export.export(layer, (x,)).graph
    return next(node for node in graph.nodes if str(node.target).startswith(("aten.conv2d", "aten.linear")))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_second_moments_are_those_of_what_each_output_multiplies(name: str, bias: bool) -> None:
    """A kernel with a single one in it picks that input: what it gives is what the weight there multiplies."""
    layer = LAYERS[name]
    if not bias:
        layer = nn.Conv2d(
            layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
            layer.dilation, layer.groups, bias=False,
        )  # fmt: skip
    x = random(3, layer.in_channels, 9, 8)
    found = second_moments(x, layer.weight.detach(), sliding_of(captured(layer, x)))
    count = layer.weight[0].numel()
    kernels = torch.eye(count).view(count, *layer.weight.shape[1:]).repeat(layer.groups, 1, 1, 1)
    picked = F.conv2d(x, kernels, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    rows = picked.view(3, layer.groups, count, -1)
    torch.testing.assert_close(found, torch.einsum("ngip,ngjp->gij", rows, rows), rtol=1e-4, atol=1e-3)


def test_second_moments_of_a_linear_layer() -> None:
    layer, x = nn.Linear(5, 2), random(7, 5)
    wanted = sum(torch.outer(row, row) for row in x)
    torch.testing.assert_close(second_moments(x, layer.weight.detach(), sliding_of(captured(layer, x))), wanted[None])


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8)
        self.two, self.three = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.one(x)))
        x = F.hardswish(self.three(torch.relu(self.two(x))))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


class Biasless(nn.Module):
    """Neither bias nor BatchNorm, and a convolution with more than default arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.head = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Linear(8, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.flatten(F.adaptive_avg_pool2d(torch.relu(self.one(x)), 1), 1))


class Tokens(nn.Module):
    """A linear layer over the channels of every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.head = nn.Conv2d(3, 8, 3), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(self.one(x).permute(0, 2, 3, 1)).mean([1, 2]))


class Twice(nn.Module):
    """A layer that is called on its own output."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.one(torch.relu(self.one(x))).mean([2, 3]))


def calibrated(model: Model, x_NCHW: torch.Tensor) -> fx.GraphModule:
    network = prepare(folded(model.module), model.spec)
    calibrate(network, [x_NCHW], "min_max")
    return network


def means_of(network: fx.GraphModule, x_NCHW: torch.Tensor) -> dict[str, torch.Tensor]:
    """Mean output of every layer, by a channel, found apart from what is tested."""
    found: dict[str, torch.Tensor] = {}

    class Watching(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if str(n.target) in ("aten.conv2d.default", "aten.linear.default"):
                found[n.name] = result.transpose(0, 1).flatten(1).mean(1)
            return result

    with torch.no_grad():
        Watching(network).run(x_NCHW)
    return found


def sqnr_db(wanted: torch.Tensor, found: torch.Tensor) -> float:
    return float(10 * torch.log10((wanted - wanted.mean(0)).square().sum() / (found - wanted).square().sum()))


def sqnr_after(model: Model, x_NCHW: torch.Tensor, few_NCHW: torch.Tensor, rounding: bool, biases: bool) -> float:
    network = calibrated(model, few_NCHW)
    reconstruct(network, few_NCHW, rounding, biases)
    with torch.no_grad():
        return sqnr_db(model.module(x_NCHW), network(x_NCHW))


@pytest.mark.parametrize("rounding", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_biases_make_channel_means_those_of_the_float_network(rounding: bool, seed: int) -> None:
    model = hand_made(Small, seed=seed)
    x_NCHW = inputs(model, 8, seed)
    network = calibrated(model, x_NCHW)
    observe(network, observing=False, quantizing=False)
    exact = means_of(network, x_NCHW)
    observe(network, observing=False, quantizing=True)
    before = means_of(network, x_NCHW)
    reconstruct(network, x_NCHW, rounding, biases=True)
    after = means_of(network, x_NCHW)
    assert len(exact) == 4
    for name, wanted in exact.items():
        assert float((before[name] - wanted).abs().max()) > 1e-4
        torch.testing.assert_close(after[name], wanted, rtol=1e-4, atol=2e-5, msg=name)


def test_without_either_nothing_changes() -> None:
    model = hand_made(Small)
    x_NCHW = inputs(model, 4)
    network = calibrated(model, x_NCHW)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    reconstruct(network, x_NCHW, rounding=False, biases=False)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(("rounding", "biases"), [(True, False), (False, True)])
def test_each_changes_only_what_it_says(rounding: bool, biases: bool) -> None:
    model = hand_made(Small)
    x_NCHW = inputs(model, 4)
    network = calibrated(model, x_NCHW)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    reconstruct(network, x_NCHW, rounding, biases)
    changed = {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}
    ending = ".weight" if rounding else ".bias"
    assert changed == {f"{layer}{ending}" for layer in ("one", "two", "three", "head")}


def test_weights_lie_on_the_grid_their_quantizers_round_to() -> None:
    """So what is converted is what was chosen: each neighbour of the float weight, never rounded again."""
    model = hand_made(Small)
    x_NCHW = inputs(model, 4)
    network, untouched = calibrated(model, x_NCHW), calibrated(model, x_NCHW)
    reconstruct(network, x_NCHW, rounding=True, biases=True)
    layers = [node for node in network.graph.nodes if quantized_weight(node)]
    moved = 0
    for node in layers:
        name, scale = str(node.args[1].args[0].target), network.get_buffer(f"{node.args[1].target}.scale")
        found, exact = (net.get_parameter(name).detach().flatten(1) / scale[:, None] for net in (network, untouched))
        assert float((found - found.round()).abs().max()) < 1e-3
        assert float((found - exact).abs().max()) < 1.001
        moved += int(((found - exact).abs() > 0.501).sum())
    assert moved > 10


def test_very_wide_layers_are_rounded_to_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their second moments would take gigabytes."""
    monkeypatch.setattr(_reconstruction, "MOST_INPUTS", 8)
    model = hand_made(Small)
    x_NCHW = inputs(model, 4)
    network = calibrated(model, x_NCHW)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items() if tensor.ndim > 1}
    reconstruct(network, x_NCHW, rounding=True, biases=False)
    kept = {name: torch.equal(network.state_dict()[name], tensor) for name, tensor in before.items()}
    wide = {name: tensor[0].numel() > 8 for name, tensor in before.items()}
    assert kept == wide
    assert set(wide.values()) == {True, False}


def test_logits_come_closer_to_the_float_networks() -> None:
    """On other images than it saw."""
    gains = []
    for seed in range(4):
        model = hand_made(Small, seed=seed)
        few_NCHW, x_NCHW = inputs(model, 32, seed), inputs(model, 64, seed + 100)
        plain, mended = (sqnr_after(model, x_NCHW, few_NCHW, mend, mend) for mend in (False, True))
        gains.append(mended - plain)
    assert sum(gains) / len(gains) > 0.7
    assert min(gains) > -0.5


@pytest.mark.parametrize("rounding", [False, True])
def test_constant_images(rounding: bool) -> None:
    model = hand_made(Small)
    for x_NCHW in (torch.zeros(2, *model.spec.shape), torch.full((2, *model.spec.shape), 0.5)):
        network = calibrated(model, x_NCHW)
        reconstruct(network, x_NCHW, rounding, biases=True)
        assert all(bool(tensor.isfinite().all()) for tensor in network.parameters())
        with torch.no_grad():
            torch.testing.assert_close(network(x_NCHW), model.module(x_NCHW), rtol=1e-3, atol=1e-4)


OTHERS = [
    Biasless,
    Tokens,
]


@pytest.mark.parametrize("build", OTHERS)
def test_layers_of_other_forms(build: type[nn.Module]) -> None:
    model = hand_made(build)
    x_NCHW = inputs(model, 16)
    assert sqnr_after(model, x_NCHW, x_NCHW, rounding=True, biases=True) > 15


def test_a_layer_that_is_called_twice() -> None:
    """Its one bias serves both calls, so it must not take up the error of the two together."""
    model = hand_made(Twice)
    x_NCHW = inputs(model, 16)
    plain, mended = (sqnr_after(model, x_NCHW, x_NCHW, mend, mend) for mend in (False, True))
    assert mended > plain - 1


def test_means_know_the_layers_that_are_quantized_only() -> None:
    model = hand_made(Small)
    network = prepare(folded(model.module), model.spec, floats=("conv2d_1",))
    found = Means(network)
    with torch.no_grad():
        found.run(inputs(model, 2))
    assert list(found.means) == ["conv2d", "conv2d_2", "linear"]


@pytest.mark.parametrize(
    ("shape", "target", "last"),
    [
        ((5, 3), torch.ops.aten.linear.default, True),
        ((5, 4, 2, 3), torch.ops.aten.linear.default, True),
        ((5, 3, 4, 2), torch.ops.aten.conv2d.default, False),
    ],
)
def test_channel_means_by_hand(shape: tuple[int, ...], target: object, last: bool) -> None:
    node = torch.fx.Graph().create_node("call_function", target)  # type: ignore[arg-type]
    y = random(*shape)
    by_channel = y.movedim(-1 if last else 1, 0).reshape(3, -1)
    torch.testing.assert_close(channel_means(node, y), by_channel.sum(1) / by_channel.shape[1])
