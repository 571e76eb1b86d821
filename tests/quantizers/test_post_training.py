"""Post-training int8: every option works, does something, and is kept by a saved model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import family, fingerprint, hand_made
from torch import nn
from torch.nn import functional as F

from pipeline.errors import DataError, UsageError
from pipeline.model import Model
from pipeline.quantizers._ranges import METHODS
from pipeline.quantizers.post_training import PostTraining
from pipeline.quantizers.quantized import Quantized
from pipeline.stage import INT8, Context, read_stage

PLAIN = {"calibration": "min_max", "rounding": "nearest", "correct_bias": False}
# Together, with the default and with what is tried alone, they have every value of every option. "entropy" takes
# longest, and is tried on the small network only.
TOGETHER: list[dict[str, Any]] = [
    {"calibration": "min_max", "rounding": "nearest", "portable": True},
    {"calibration": "percentile", "correct_bias": False, "images": 8, "floats": ("conv2d", "linear_1")},
    {"calibration": "mse", "equalize": True, "images": 8, "portable": True},
]
ALONE: list[dict[str, Any]] = [
    *({"calibration": method} for method in METHODS if method != "min_max"),
    {"rounding": "outputs"},
    {"correct_bias": True},
    {"equalize": True},
    {"portable": True},
    {"floats": ("linear",)},
]


class Small(nn.Module):
    """Dense, depthwise, pointwise, a hard-swish and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(1, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8)
        self.two, self.three = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.hardswish(self.three(F.relu(self.two(F.relu(self.norm(self.one(x)))))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def digits_model(build: type[nn.Module], context: Context) -> Model:
    """A model of random weights for the digits."""
    return replace(hand_made(build, channels=1), spec=context.data.spec, classes=context.data.classes)


@pytest.fixture(scope="module")
def small(context: Context) -> Model:
    return digits_model(Small, context)


@pytest.fixture(scope="module")
def plain(small: Model, context: Context) -> Model:
    return PostTraining(**PLAIN)(small, context)


def accuracy(model: Model, context: Context) -> float:
    validation = context.data.validation
    return float((model.logits_NK(validation.x_NCHW()).argmax(1) == validation.labels_N).mean())


def sqnr_db(wanted: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    signal = np.square(wanted - wanted.mean(0)).sum(dtype=np.float64)
    return float(10 * np.log10(signal / np.square(found - wanted).sum(dtype=np.float64)))


def weight_type(model: Model, layer: str) -> str:
    """The type of the constant that a layer of the graph multiplies by."""
    constants = dict([*model.module.named_buffers(), *model.module.named_parameters()])
    node = next(node for node in model.module.graph.nodes if node.name == layer)
    source = node.args[1]
    while source.op != "get_attr":
        source = source.args[0]
    return str(constants[str(source.target)].dtype)


def written(options: dict[str, Any]) -> str:
    """A test's name from the options that are not the plain ones."""
    return ",".join(f"{name}={value}" for name, value in options.items() if PLAIN.get(name) != value) or "plain"


@pytest.mark.parametrize("options", TOGETHER, ids=written)
def test_every_option_gives_a_model_that_answers(options: dict[str, Any], trained: Model, context: Context) -> None:
    before = fingerprint(trained)
    model = PostTraining(**options)(trained, context)
    x_NCHW = context.data.validation.x_NCHW()
    wanted, found = trained.logits_NK(x_NCHW), model.logits_NK(x_NCHW)
    assert model.integer
    assert (model.spec, model.classes) == (trained.spec, trained.classes)
    assert fingerprint(trained) == before
    assert np.isfinite(found).all()
    assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.85


def test_the_default_keeps_accuracy(int8: Model, trained: Model, full_context: Context) -> None:
    assert accuracy(trained, full_context) > 0.8
    assert accuracy(int8, full_context) >= accuracy(trained, full_context) - 0.05


@pytest.mark.parametrize("option", ALONE, ids=written)
def test_every_option_changes_the_answers(option: dict[str, Any], plain: Model, small: Model, context: Context) -> None:
    x_NCHW = context.data.validation.x_NCHW()
    other = PostTraining(**{**PLAIN, **option})(small, context)
    assert not np.array_equal(other.logits_NK(x_NCHW), plain.logits_NK(x_NCHW))
    assert sqnr_db(small.logits_NK(x_NCHW), other.logits_NK(x_NCHW)) > 5


@pytest.mark.parametrize("options", [PLAIN, {}], ids=written)
def test_the_same_options_give_the_same_model(options: dict[str, Any], small: Model, context: Context) -> None:
    one, other = (PostTraining(**options)(small, context) for _ in range(2))
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize("options", [{"rounding": "nearest"}, {"correct_bias": False}], ids=written)
def test_the_number_of_images_counts_where_they_are_used(
    options: dict[str, Any], small: Model, context: Context
) -> None:
    one, other = (PostTraining(**options, images=images)(small, context) for images in (2, 40))
    assert fingerprint(one) != fingerprint(other)


def test_more_images_than_there_are_is_all_of_them(small: Model, context: Context) -> None:
    count = len(context.data.calibration)
    one, other = (PostTraining(images=images)(small, context) for images in (count, 2 * count))
    assert fingerprint(one) == fingerprint(other)


def test_no_image_is_used_where_nothing_is_mended(plain: Model, small: Model, context: Context) -> None:
    assert fingerprint(PostTraining(**PLAIN, images=1)(small, context)) == fingerprint(plain)


class Uneven(nn.Module):
    """A depthwise layer whose channels differ a thousandfold, as in the networks equalization is for."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.three(F.relu(self.two(F.relu(self.one(x))))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def test_equalization_helps_where_channels_differ(context: Context) -> None:
    model = digits_model(Uneven, context)
    state = {name: tensor.clone() for name, tensor in model.state.items()}
    for channel in range(8):
        factor = 10 ** (channel % 4 - 1.5)
        for name, index in (("one.weight", channel), ("one.bias", channel), ("two.weight", channel)):
            state[name][index] *= 1 / factor if name == "two.weight" else factor
    model = replace(model, module=model.blueprint.build(state), state=state)
    x_NCHW = context.data.validation.x_NCHW()
    wanted = model.logits_NK(x_NCHW)
    usual, better = (
        sqnr_db(wanted, PostTraining(equalize=equalize)(model, context).logits_NK(x_NCHW)) for equalize in (False, True)
    )
    assert better > usual + 3


def test_mending_helps(small: Model, context: Context) -> None:
    """Rounding and biases bring a network closer to its float self, on other images."""
    x_NCHW = context.data.validation.x_NCHW()
    wanted = small.logits_NK(x_NCHW)
    nearest, biases, both = (
        sqnr_db(wanted, PostTraining(**{**PLAIN, **options})(small, context).logits_NK(x_NCHW))
        for options in ({}, {"correct_bias": True}, {"correct_bias": True, "rounding": "outputs"})
    )
    assert both > nearest + 2
    assert both > biases


@pytest.mark.parametrize("name", ["conv2d", "conv2d_1", "linear"])
def test_what_shall_stay_float_does(name: str, untrained: Model, context: Context, tmp_path: Path) -> None:
    float_model = family("lenet", untrained)
    layers = {"conv2d", "conv2d_1", "linear"}
    usual, model = (PostTraining(floats=floats)(float_model, context) for floats in ((), (name,)))
    model.save(tmp_path)
    again = Model.load(tmp_path)
    assert {weight_type(usual, layer) for layer in layers} == {"torch.int8"}
    for one in (model, again):
        assert weight_type(one, name) == "torch.float32"
        assert {weight_type(one, layer) for layer in layers - {name}} == {"torch.int8"}
        assert isinstance(one.blueprint, Quantized)
        assert one.blueprint.floats == (name,)
    x_NCHW = context.data.validation.x_NCHW()
    assert np.array_equal(again.logits_NK(x_NCHW), model.logits_NK(x_NCHW))


@pytest.mark.parametrize("options", [{"portable": True}, {"calibration": "percentile"}], ids=written)
@pytest.mark.parametrize("equalize", [False, True])
def test_round_trips(
    options: dict[str, Any], equalize: bool, untrained: Model, context: Context, tmp_path: Path
) -> None:
    """What only the stage knows has become data: the rebuilt network needs no options."""
    float_model = family("vgg11" if equalize else "lenet", untrained)
    model = PostTraining(**options, equalize=equalize, images=8)(float_model, context)
    model.save(tmp_path)
    x_NCHW = context.data.validation.x_NCHW()
    assert np.array_equal(Model.load(tmp_path).logits_NK(x_NCHW), model.logits_NK(x_NCHW))


@pytest.mark.parametrize(
    "options",
    [{"calibration": "magic"}, {"rounding": "up"}, {"images": 0}, {"images": -1}, {"correct_biases": True}],
    ids=written,
)
def test_unknown_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        read_stage({"PostTraining": options}, "here")


@pytest.mark.parametrize("options", [*TOGETHER, *ALONE], ids=written)
def test_options_survive_yaml(options: dict[str, Any]) -> None:
    stage = PostTraining(**options)
    assert read_stage(stage.written(), "here") == stage
    assert stage.gives == INT8


@pytest.mark.parametrize("options", [PLAIN, {}], ids=written)
def test_without_images(options: dict[str, Any], small: Model, context: Context) -> None:
    none = replace(context.data, calibration=context.data.calibration.take(np.arange(0)))
    with pytest.raises(DataError, match="no calibration images"):
        PostTraining(**options)(small, replace(context, data=none))


class Biasless(nn.Module):
    """Neither bias nor BatchNorm, and a convolution with more than default arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.head = nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.Linear(8, 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.adaptive_avg_pool2d(F.relu(self.one(x)), 1).flatten(1))


@pytest.mark.parametrize("options", [PLAIN, {}], ids=written)
def test_layers_without_biases(options: dict[str, Any], context: Context) -> None:
    model = digits_model(Biasless, context)
    x_NCHW = context.data.validation.x_NCHW()
    found = PostTraining(**options)(model, context).logits_NK(x_NCHW)
    assert sqnr_db(model.logits_NK(x_NCHW), found) > 15
