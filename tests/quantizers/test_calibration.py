"""Calibration: every quantizer has a range from real images, and portable weights never saturate."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import family, hand_made, inputs
from torch import fx, nn
from torch.nn import functional as F
from torchao.quantization.pt2e.fake_quantize import FakeQuantize, FixedQParamsFakeQuantize

from pipeline.errors import DataError, StageFailed
from pipeline.folding import folded
from pipeline.model import Model
from pipeline.quantizers._annotation import SMALLEST_SCALE
from pipeline.quantizers._calibration import activation_quantizers, batches, calibrate
from pipeline.quantizers._ranges import METHODS, Method
from pipeline.quantizers.post_training import PostTraining
from pipeline.quantizers.quantized import observe, prepare, quantized_weight
from pipeline.stage import Context

ALL = pytest.mark.parametrize("method", METHODS)
LARGEST_SUM = 32767  # of 16 bits


class Gated(nn.Module):
    """Dense, depthwise, hard-swish, a gate, a sum and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.two, self.gate = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.hardswish(self.norm(self.one(x)))
        y = torch.relu(self.two(x))
        y = x + y * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(y, 1)))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(y, 1), 1))


@pytest.fixture(scope="module")
def gated() -> Model:
    return hand_made(Gated)


@pytest.fixture(scope="module")
def empty(gated: Model) -> fx.GraphModule:
    """Prepared, with no range known."""
    return prepared(gated)


def prepared(model: Model, portable: bool = False) -> fx.GraphModule:
    return prepare(folded(model.module), model.spec, portable=portable)


def found_quantizers(network: fx.GraphModule) -> list[FakeQuantize]:
    """Those of activations whose range is found from images."""
    layers = dict.fromkeys(activation_quantizers(network).values())
    return [layer for layer in layers if not isinstance(layer, FixedQParamsFakeQuantize)]


def grids(network: fx.GraphModule) -> dict[str, tuple[float, int]]:
    """Scale and zero point of every activation's quantizer, by name."""
    layers = set(found_quantizers(network))
    named = [(name, layer) for name, layer in network.named_modules() if layer in layers]
    return {name: (float(layer.scale), int(layer.zero_point)) for name, layer in named}


def integers(network: fx.GraphModule) -> dict[str, torch.Tensor]:
    """The int8 weights of every layer, one row an output."""
    found = {}
    for node in network.graph.nodes:
        if quantized_weight(node):
            quantizer = node.args[1]
            weight = network.get_parameter(str(quantizer.args[0].target)).detach().flatten(1)
            scale = network.get_buffer(f"{quantizer.target}.scale")
            found[node.name] = torch.round(weight / scale[:, None]).clamp(-127, 127).long()
    return found


def largest_pair(rows: torch.Tensor) -> int:
    """The largest sum of two magnitudes of one sign within a row, over all pairs."""
    one, other = rows[:, :, None], rows[:, None, :]
    apart = ~torch.eye(rows.shape[1], dtype=torch.bool)
    return int((one + other).abs()[(one * other >= 0) & apart].max())


@ALL
def test_every_activation_has_a_range_that_fits_its_values(method: Method, gated: Model) -> None:
    network, x_NCHW = prepared(gated), inputs(gated, 8)
    before, seen = grids(network), {}

    def keep(layer: FakeQuantize, got: tuple[torch.Tensor]) -> None:
        seen[layer] = got[0]

    watching = [layer.register_forward_pre_hook(keep) for layer in found_quantizers(network)]
    calibrate(network, [x_NCHW], method)
    for hook in watching:
        hook.remove()
    after = grids(network)
    assert len(after) == len(before) == 8
    assert set(before.values()) == {(1.0, 0)}
    for name, (scale, zero_point) in after.items():
        assert SMALLEST_SCALE <= scale != 1.0
        assert 0 <= zero_point <= 255
        values = seen[network.get_submodule(name)]
        low, high = -zero_point * scale, (255 - zero_point) * scale
        inside = (values >= low - scale) & (values <= high + scale)
        assert float(inside.float().mean()) > 0.5
        assert high - low <= 1.05 * (float(values.clamp(min=0).max()) - float(values.clamp(max=0).min())) + scale


def test_min_max_covers_all_but_what_a_swish_drops(gated: Model) -> None:
    network, x_NCHW = prepared(gated), inputs(gated, 8)
    calibrate(network, [x_NCHW], "min_max")
    checked = []

    def covered(layer: FakeQuantize, got: tuple[torch.Tensor]) -> None:
        scale, low = float(layer.scale), -int(layer.zero_point) * float(layer.scale)
        assert float(got[0].max()) <= low + 255.51 * scale
        assert float(got[0].clamp(min=-3).min()) >= low - 0.51 * scale
        checked.append(layer)

    for layer in found_quantizers(network):
        layer.register_forward_pre_hook(covered)
    observe(network, observing=False, quantizing=False)
    with torch.no_grad():
        network(x_NCHW)
    assert len(set(checked)) == len(grids(network))


@given(cuts=st.lists(st.integers(1, 11), max_size=5))
def test_min_max_does_not_know_batches(cuts: list[int], gated: Model, empty: fx.GraphModule) -> None:
    x_NCHW = inputs(gated, 12)
    ends = [0, *sorted(set(cuts)), 12]
    found = []
    for parts in ([x_NCHW], [x_NCHW[start:stop] for start, stop in itertools.pairwise(ends)]):
        network = copy.deepcopy(empty)
        calibrate(network, parts, "min_max")
        found.append(grids(network))
    whole, cut = found
    for name, (scale, zero_point) in whole.items():
        assert cut[name] == (pytest.approx(scale, rel=1e-4), pytest.approx(zero_point, abs=1))


@ALL
def test_without_images(method: Method, gated: Model) -> None:
    with pytest.raises(DataError, match="no calibration images"):
        calibrate(prepared(gated), [], method)


@ALL
def test_an_image_that_is_not_a_number(method: Method, gated: Model) -> None:
    x_NCHW = inputs(gated, 4)
    x_NCHW[2, 1, 3, 3] = math.nan
    with pytest.raises(StageFailed, match="NaN or infinite, first in what x gives"):
        calibrate(prepared(gated), x_NCHW.split(2), method)


@pytest.mark.parametrize("where", ["one.weight", "head.bias"])
def test_a_weight_that_is_not_a_number_is_named(where: str, gated: Model) -> None:
    network = prepared(gated)
    with torch.no_grad():
        network.get_parameter(where).view(-1)[0] = math.inf
    with pytest.raises(StageFailed, match=f"{where} has values that are NaN or infinite"):
        calibrate(network, [inputs(gated, 2)], "min_max")


def test_nothing_watches_afterwards(gated: Model) -> None:
    network, x_NCHW = prepared(gated), inputs(gated, 4)
    calibrate(network, [x_NCHW], "moving_average")
    assert [layer for layer in network.modules() if layer._forward_pre_hooks or layer._forward_hooks] == []
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.no_grad():
        network(100 * x_NCHW)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_it_rounds_afterwards(gated: Model) -> None:
    network, x_NCHW = prepared(gated), inputs(gated, 4)
    calibrate(network, [x_NCHW], "min_max")
    with torch.no_grad():
        wanted, found = gated.module(x_NCHW), network(x_NCHW)
    assert 0 < float((found - wanted).abs().max()) < 0.1 * float(wanted.abs().max())


@ALL
def test_what_is_fixed_is_not_touched(method: Method, gated: Model) -> None:
    network = prepared(gated)
    fixed = [layer for layer in network.modules() if isinstance(layer, FixedQParamsFakeQuantize)]
    before = [(float(layer.scale), int(layer.zero_point)) for layer in fixed]
    calibrate(network, [10 * inputs(gated, 4)], method)
    assert [(float(layer.scale), int(layer.zero_point)) for layer in fixed] == before
    wanted = torch.tensor([1 / 256, 1 / 255, 6 / 256]).tolist()
    assert sorted(before) == list(zip(wanted, (0, 0, 128), strict=True))
    assert not set(fixed) & set(found_quantizers(network))


def test_weights_reach_the_ends_of_their_grid(gated: Model) -> None:
    network = prepared(gated)
    calibrate(network, [inputs(gated, 2)], "min_max")
    rows = integers(network)
    assert len(rows) == 4
    for name, row in rows.items():
        assert row.abs().amax(1).tolist() == [127] * len(row), name


@ALL
def test_constant_activations(method: Method, gated: Model) -> None:
    """A network that sees one grey, and one whose first layer is dead."""
    network = prepared(gated)
    x_NCHW = torch.full((4, *gated.spec.shape), 0.25)
    with torch.no_grad():
        network.two.weight.zero_()
        network.two.bias.fill_(0.0)
    calibrate(network, [x_NCHW], method)
    assert all(scale >= SMALLEST_SCALE and math.isfinite(scale) for scale, _ in grids(network).values())
    with torch.no_grad():
        answers = network(x_NCHW)
    assert bool(answers.isfinite().all())
    assert torch.equal(answers, answers[:1].expand_as(answers))


@pytest.mark.parametrize(("most", "sizes"), [(None, [16, 16, 16, 16]), (20, [16, 4]), (1, [1]), (1000, [16] * 4)])
def test_batches_are_the_first_images_in_order(most: int | None, sizes: Sequence[int], context: Context) -> None:
    found = list(batches(context.data.calibration, most))
    assert [len(batch) for batch in found] == sizes
    assert np.array_equal(torch.cat(found).numpy(), context.data.calibration.x_NCHW(0, sum(sizes)))


@pytest.mark.parametrize("kind", ["normal", "uniform", "one large", "all alike", "one sign", "sparse"])
@pytest.mark.parametrize("seed", range(3))
def test_portable_pairs_stay_within_128(kind: str, seed: int, gated: Model) -> None:
    """No two products with one uint8 factor each exceed 16 bits, whichever two weights meet."""
    network, generator = prepared(gated, portable=True), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                weight.copy_(_weights(kind, weight.shape, generator))
                assert weight.abs().max() > 0, name
    calibrate(network, [inputs(gated, 4)], "min_max")
    for name, rows in integers(network).items():
        assert largest_pair(rows) <= 128, name
        assert 255 * largest_pair(rows) <= LARGEST_SUM, name
        assert int(rows.abs().max()) >= 62, name  # and no more steps are given away than that takes


def _weights(kind: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    x = torch.randn(shape, generator=generator)
    if kind == "uniform":
        return torch.rand(shape, generator=generator) - 0.5
    if kind == "one large":
        x.view(len(x), -1)[:, 0] = 50
    if kind == "all alike":
        return torch.full(shape, 0.3)
    if kind == "sparse":
        x.view(len(x), -1)[:, 1:] = 0
    return x.abs() if kind == "one sign" else x


@pytest.mark.parametrize("rounding", ["nearest", "outputs"])
def test_a_portable_network_never_saturates(rounding: str, untrained: Model, context: Context) -> None:
    """Rounding up and down for the outputs' sake moves weights by up to a step, and pairs stay within 128."""
    portable, usual = (
        PostTraining(portable=portable, rounding=rounding, images=8)(family("cifar_resnet20", untrained), context)
        for portable in (True, False)
    )
    pairs = [[largest_pair(rows) for rows in _constants(model)] for model in (portable, usual)]
    assert len(pairs[0]) > 20
    assert max(pairs[0]) <= 128
    assert max(pairs[1]) > 200


def _constants(model: Model) -> list[torch.Tensor]:
    """The int8 weights of a converted network that may meet in one sum, the outermost eight of a row."""
    constants = [*model.module.buffers(), *model.module.parameters()]
    rows = [tensor.long().flatten(1) for tensor in constants if tensor.dtype == torch.int8]
    return [_outermost(row) for row in rows if row.shape[1] > 1]


def _outermost(rows: torch.Tensor) -> torch.Tensor:
    count = min(4, rows.shape[1] // 2) or 1
    ordered = rows.sort(1).values
    return torch.cat([ordered[:, :count], ordered[:, -count:]], 1)
