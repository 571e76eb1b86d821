"""Int8 that is trained in: who teaches, what is frozen when, and what an average of weights leaves whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from tiny import family, fingerprint, hand_made
from torch import fx, nn
from torchao.quantization.pt2e.fake_quantize import FakeQuantize, FixedQParamsFakeQuantize

from pipeline.model import Model
from pipeline.quantizers import quantized as rooms
from pipeline.quantizers.aware import QuantizationAware
from pipeline.stage import Context
from pipeline.trainers.optimizer import Average

PLAN = {"epochs": 1, "batch": 16, "augment": "none"}  # six steps of 96 images


def test_the_full_size_model_teaches(trained: Model, context: Context) -> None:
    full_size = family("resnet18", trained)
    asked: list[str] = []

    def teacher(name: str) -> Model:
        asked.append(name)
        return full_size

    stage = QuantizationAware(teacher="resnet18", weight=1.0, **PLAN)
    taught = stage(trained, replace(context, teacher=teacher))
    assert stage.needs() == ("resnet18",)
    assert asked == ["resnet18"]
    own = QuantizationAware(weight=1.0, **PLAN)
    assert own.needs() == ()
    assert fingerprint(taught) != fingerprint(own(trained, context))


def test_named_or_not_the_float_model_teaches_the_same(trained: Model, context: Context) -> None:
    named = QuantizationAware(teacher="me", **PLAN)(trained, replace(context, teacher=lambda _: trained))
    assert fingerprint(named) == fingerprint(QuantizationAware(**PLAN)(trained, context))


@pytest.fixture
def switched(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether value ranges were followed, each time that this was chosen while rounding."""
    real, chosen = rooms.observe, []

    def observe(prepared: fx.GraphModule, observing: bool, quantizing: bool) -> None:
        chosen.append(observing)
        real(prepared, observing, quantizing)

    monkeypatch.setattr(rooms, "observe", observe)
    return chosen


@pytest.mark.parametrize("epochs", [1, 2])
def test_ranges_are_followed_in_the_first_half_only(
    epochs: int, trained: Model, context: Context, switched: list[bool]
) -> None:
    """Also of a single epoch."""
    steps: list[tuple[int, int]] = []  # steps done, and times that something was chosen before
    counting = replace(context, progress=lambda done, total, note: steps.append((done, len(switched))))
    QuantizationAware(**{**PLAN, "epochs": epochs})(trained, counting)
    training = [(done, changes) for done, changes in steps if done <= 6 * epochs][-6 * epochs :]
    began = training[0][1]
    assert switched[began - 1] is True
    assert next(done for done, changes in training if changes > began) == 3 * epochs + 1
    assert switched[began] is False


def test_an_average_leaves_every_scale_with_its_zero_point(trained: Model, context: Context) -> None:
    """Scales are copied whole, and the weights' are those of the averaged weights."""
    averaged = QuantizationAware(ema=0.9, **PLAN)(trained, context)
    prepared = averaged.blueprint.skeleton()
    prepared.load_state_dict(averaged.state)
    for layer in activations(prepared):
        for known, computed in zip((layer.scale, layer.zero_point), layer.calculate_qparams(), strict=True):
            torch.testing.assert_close(known, computed.reshape(known.shape), check_dtype=False)
    for node in (node for node in prepared.graph.nodes if rooms.quantized_weight(node)):
        quantizer = node.args[1]
        weight = prepared.get_parameter(quantizer.args[0].target)
        scale = prepared.get_submodule(quantizer.target).scale
        torch.testing.assert_close(scale, weight.detach().abs().flatten(1).amax(1) / 127, rtol=0.02, atol=1e-9)


def activations(prepared: fx.GraphModule) -> Iterator[FakeQuantize]:
    for layer in prepared.modules():
        fixed = isinstance(layer, FixedQParamsFakeQuantize)
        if isinstance(layer, FakeQuantize) and not fixed and not layer.is_per_channel:
            yield layer


def test_only_weights_and_statistics_are_averaged(trained: Model) -> None:
    prepared = rooms.prepare(rooms.folded(trained.module), trained.spec)
    average = Average(prepared, 0.5)
    with torch.no_grad():
        for tensor in prepared.state_dict().values():
            tensor.fill_(1)
    average.follow(10_000)
    parameters = dict(prepared.named_parameters())
    for name, tensor in average.module.state_dict().items():
        assert bool((tensor == 1).all()) == (name not in parameters or bool((parameters[name] == tensor).all())), name


def test_batch_norm_is_folded_before_training(context: Context) -> None:
    """Its statistics cannot move, as there are none."""
    model = hand_made(normalized, channels=1, edge=16)
    prepared = rooms.prepare(rooms.folded(model.module), model.spec)
    assert not [name for name in prepared.state_dict() if "running" in name]


def normalized() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))
