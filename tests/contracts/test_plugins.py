"""What every plug-in of every role promises."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tiny import FAMILIES, family, inputs

from pipeline.data.any_folder import AnyFolder
from pipeline.data.folder import Folder
from pipeline.data.npz import Npz
from pipeline.errors import UsageError
from pipeline.exporters.pt2 import ExportPt2
from pipeline.model import Model
from pipeline.models.architecture import Architecture, Network
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.models.resnet import ResNet18
from pipeline.plugin import ROOMS, Plugin, discover, read, room_plugins
from pipeline.pruners.resized import Resized
from pipeline.pruners.structured import Prune
from pipeline.quantizers.dynamic import Dynamically
from pipeline.quantizers.onnx_given import GivenOnnx
from pipeline.quantizers.quantized import Quantized
from pipeline.spec import InputSpec
from pipeline.stage import ARTIFACT, FLOAT, INT8, MODEL, NOTHING, Context, Stage
from pipeline.trainers.distillation import Distill
from pipeline.tuners.latency_prune import LatencyPrune

NETWORK = Network(family=MobileNetV2(width=0.5), shape=(3, 32, 32), classes=10)
# Plug-ins with fields that have no default.
EXAMPLES: dict[str, Plugin] = {
    "folder": Folder(path="~/pictures: of cats", size=64),
    "any_folder": AnyFolder(path="pictures", classes=("a: b", "c"), grey=True, notes=("mean: assumed",)),
    "npz": Npz(path="~/arrays: 1.npz", size=16),
    "GivenOnnx": GivenOnnx(file="net: 1.onnx", convert=True),
    "Distill": Distill(teacher="big one", lr=1e-5, epochs=3),
    "LatencyPrune": LatencyPrune(target_ms=2.5, precision="int8"),
    "Network": NETWORK,
    "Resized": Resized(of=NETWORK, widths={"features.0.0": (8, 3)}),
    "Dynamically": Dynamically(of=NETWORK, floats=("head",)),
    "Quantized": Quantized(of=Resized(of=NETWORK, widths={}), input=InputSpec(size=(32, 32), resize=36)),
}
PLUGINS = [(role, kind) for role in ROOMS for kind in discover(role)]
every_plugin = pytest.mark.parametrize(("role", "kind"), PLUGINS)


installed = pytest.mark.parametrize(
    ("role", "kind"), [one for one in PLUGINS if not discover(one[0])[one[1]].missing()]
)


def example(role: str, kind: str) -> Plugin:
    plugin = discover(role)[kind]
    return EXAMPLES[kind] if kind in EXAMPLES else plugin()


def test_every_role_has_plugins_and_no_kind_twice() -> None:
    for role, rooms in ROOMS.items():
        kinds = [plugin.kind for room in rooms for plugin in room_plugins(room) if plugin.role == role]
        assert kinds
        assert len(set(kinds)) == len(kinds)


@every_plugin
def test_has_a_summary_for_the_listing(role: str, kind: str) -> None:
    plugin = discover(role)[kind]
    assert "__doc__" in plugin.__dict__
    assert 10 < len(plugin.summary()) <= 110
    assert plugin.summary().endswith(".")


@every_plugin
def test_is_frozen(role: str, kind: str) -> None:
    value = example(role, kind)
    for name in [*type(value).model_fields, "anything"]:
        with pytest.raises((ValidationError, ValueError)):
            setattr(value, name, 1)


@installed
def test_refuses_unknown_fields(role: str, kind: str) -> None:
    fields = example(role, kind).model_dump(mode="json")
    with pytest.raises(UsageError, match="unknown key"):
        read(role, {kind: {**fields, "no_such_field": 1}}, "here")


@installed
def test_reads_what_it_writes(role: str, kind: str) -> None:
    value = example(role, kind)
    assert read(role, json.loads(json.dumps(value.written())), "here") == value
    everything = {kind: value.model_dump(mode="json")}
    assert read(role, json.loads(json.dumps(everything)), "here") == value


@every_plugin
def test_describes_itself_as_json_with_every_field_and_its_version(role: str, kind: str) -> None:
    value = example(role, kind)
    described = value.describe()
    assert json.loads(json.dumps(described)) == described
    [(name, fields)] = described.items()
    assert name == kind
    assert fields.keys() == {*type(value).model_fields, "version"}
    assert fields["version"] >= 1


@every_plugin
def test_an_optional_package_names_its_extra(role: str, kind: str) -> None:
    plugin = discover(role)[kind]
    assert bool(plugin.requires) == bool(plugin.extra)


STAGES = discover("stage")


@pytest.mark.parametrize("kind", STAGES)
def test_stages_fit_together(kind: str) -> None:
    stage = STAGES[kind]
    assert issubclass(stage, Stage)
    assert stage.takes
    assert set(stage.takes) <= {NOTHING, FLOAT, INT8, MODEL, ARTIFACT}
    assert stage.gives in {FLOAT, INT8, MODEL, ARTIFACT}
    assert issubclass(stage, Architecture | GivenOnnx) == (stage.takes == (NOTHING,))


@pytest.mark.parametrize("kind", STAGES)
def test_needs_are_names(kind: str) -> None:
    needs = example("stage", kind).needs()  # type: ignore[attr-defined]
    assert isinstance(needs, tuple)
    assert needs == (("big one",) if kind == "Distill" else ())


@pytest.mark.parametrize("kind", discover("runtime"))
def test_runtimes_name_a_format_that_something_exports(kind: str) -> None:
    runtime = discover("runtime")[kind]
    formats = {getattr(stage, "format", "") for stage in STAGES.values()}
    assert runtime.format in formats
    assert runtime.package


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_builds_and_is_a_function_of_the_seed(name: str, context: Context) -> None:
    stage = FAMILIES[name]
    torch.manual_seed(1)
    first, second = stage(None, context), stage(None, context)
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    assert first.logits_NK(inputs(first, 2).numpy()).shape == (2, len(context.data.classes))
    assert (first.spec, first.classes) == (context.data.spec, context.data.classes)
    assert not any(layer.training for layer in first.module.modules())


def test_tests_know_every_family() -> None:
    families = {kind for kind, plugin in STAGES.items() if issubclass(plugin, Architecture)}
    assert {value.kind for value in FAMILIES.values()} == families


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_family_takes_grey_and_colour(name: str, channels: int) -> None:
    module = Network(family=FAMILIES[name], shape=(channels, 32, 32), classes=7).skeleton()
    with torch.no_grad():
        assert module(torch.zeros(2, channels, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_prunes_and_exports(name: str, untrained: Model, context: Context) -> None:
    model = Prune(ratio=0.5)(family(name, untrained), context)
    draft = ExportPt2()(model, context)
    assert draft.manifest.params == sum(parameter.numel() for parameter in model.module.parameters())
    assert draft.probe.logits_NK.shape == (32, 10)
    assert np.isfinite(draft.probe.logits_NK).all()


def test_no_batch_norm_is_slow_and_nothing_works_in_place() -> None:
    for value in (*FAMILIES.values(), ResNet18()):
        for layer in Network(family=value, shape=(3, 32, 32), classes=2).skeleton().modules():
            assert getattr(layer, "momentum", 0.1) == 0.1
            assert not getattr(layer, "inplace", False)
