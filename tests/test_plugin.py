"""Plug-ins are found by their folder, read as data, and refuse what they do not know."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from pipeline import plugin as house
from pipeline.errors import UnavailableError, UsageError
from pipeline.models.mobilenet_v3 import MobileNetV3
from pipeline.plugin import ROOMS, Plugin, did_you_mean, discover, read, room_plugins
from pipeline.trainers.supervised import Train


@pytest.mark.parametrize(
    ("role", "kinds"),
    [
        ("data", {"digits", "folder"}),
        ("runtime", {"eager", "onnxruntime", "torchscript"}),
        ("blueprint", {"Network", "Resized", "Quantized"}),
        ("stage", {"ResNet18", "MobileNetV2", "MobileNetV3", "Train", "Distill", "Prune", "PostTraining"}),
        ("stage", {"QuantizationAware", "MixedPrecision", "ExportOnnx", "ExportTorchScript", "ExportPt2"}),
    ],
)
def test_discovers_by_role(role: str, kinds: set[str]) -> None:
    assert kinds <= discover(role).keys()


def test_roles_do_not_mix() -> None:
    for role in ROOMS:
        assert all(plugin.role == role for plugin in discover(role).values())


def test_abstract_bases_and_imported_names_are_no_plugins() -> None:
    assert {"Architecture", "Exporter", "Runtime", "Stage", "Source"}.isdisjoint(
        plugin.__name__ for room in ("models", "exporters", "runtimes", "data") for plugin in room_plugins(room)
    )
    assert [plugin.__name__ for plugin in room_plugins("trainers")].count("Train") == 1


@pytest.mark.parametrize(
    ("role", "kind", "near"),
    [("stage", "trian", "Train"), ("stage", "mobilenetv3", "MobileNetV3"), ("data", "digit", "digits")],
)
def test_an_unknown_name_suggests_the_nearest(role: str, kind: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{near}'") as caught:
        read(role, kind, "here")
    assert near in "\n".join(caught.value.lines())


def test_an_unknown_name_that_is_near_nothing() -> None:
    with pytest.raises(UsageError) as caught:
        read("stage", "qqqqqqqq", "here")
    assert "did you mean" not in str(caught.value)


def test_an_unknown_key_suggests_the_nearest_and_says_where() -> None:
    with pytest.raises(UsageError, match=r"study\.recipes\.a\.Train\.epoch: unknown key — did you mean 'epochs'"):
        read("stage", {"Train": {"epoch": 3}}, "study.recipes.a")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"epochs": 0}, "epochs: "),
        ({"epochs": "many"}, "epochs: "),
        ({"lr": float("nan")}, "lr: "),
        ({"lr": -1}, "lr: "),
        ({"augment": "mix"}, "augment"),
        ({"optimizer": None}, "optimizer: "),
        ({1: 2}, "1"),
        ([], "expected fields"),
        (3, "expected fields"),
    ],
)
def test_wrong_fields_are_named(fields: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read("stage", {"Train": fields}, "here")
    assert "here.Train" in str(caught.value)


def test_every_wrong_field_is_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        read("stage", {"Train": {"epochs": 0, "lr": 0, "batchsize": 3}}, "here")
    assert len(caught.value.lines()) == 3


@pytest.mark.parametrize("data", [None, 3, [], ["Train"], {}, {"Train": {}, "Prune": {}}, True])
def test_what_is_no_plugin_is_refused(data: Any) -> None:
    with pytest.raises(UsageError, match="here"):
        read("stage", data, "here")


@pytest.mark.parametrize("data", ["Train", {"Train": None}, {"Train": {}}, {"Train": {"epochs": 10}}])
def test_all_the_ways_to_say_the_same(data: Any) -> None:
    assert read("stage", data, "here") == Train()


def test_written_is_the_shortest() -> None:
    assert Train().written() == "Train"
    assert MobileNetV3(size="large", width=1.0).written() == {"MobileNetV3": {"size": "large"}}


class Exotic(Plugin):
    """Needs what nobody has."""

    role: ClassVar[str] = "runtime"
    requires: ClassVar[tuple[str, ...]] = ("json", "no_such_package", "no_such.package.inside")
    extra: ClassVar[str] = "exotic"


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {**discover("runtime"), "Exotic": Exotic}
    monkeypatch.setattr(house, "discover", lambda role: known)
    with pytest.raises(UnavailableError, match="no_such_package") as caught:
        read("runtime", "Exotic", "here")
    assert "edgewright[exotic]" in caught.value.fix
    assert caught.value.exit_code == 3
    assert Exotic.missing() == ("no_such_package", "no_such.package.inside")


def test_kind_is_the_class_name_unless_given() -> None:
    class Named(Exotic):
        kind: ClassVar[str] = "given"

    class Unnamed(Named):
        pass

    assert (Exotic.kind, Named.kind, Unnamed.kind) == ("Exotic", "given", "Unnamed")


def test_the_version_is_part_of_the_description() -> None:
    class Newer(Train):
        kind: ClassVar[str] = "Train"
        version: ClassVar[int] = 2

    assert Newer().describe() != Train().describe()
    assert Newer().written() == Train().written()


@pytest.mark.parametrize(("word", "suggested"), [("EPOCHS", "epochs"), ("epohcs", "epochs"), ("zzz", None)])
def test_did_you_mean(word: str, suggested: str | None) -> None:
    assert did_you_mean(word, ["epochs", "lr"]) == (f" — did you mean {suggested!r}?" if suggested else "")
