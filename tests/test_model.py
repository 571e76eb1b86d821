"""A model survives the disk bit by bit, and what is damaged is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import family, inputs

from pipeline.errors import CorruptFile, UnavailableError
from pipeline.model import STRUCTURE, WEIGHTS, Model
from pipeline.plugin import Plugin
from pipeline.pruners.structured import Prune
from pipeline.stage import Context


@pytest.fixture(scope="module", params=["float", "pruned", "int8"])
def model(request: pytest.FixtureRequest, trained: Model, int8: Model, context: Context) -> Model:
    return {"float": trained, "pruned": Prune(ratio=0.4)(trained, context), "int8": int8}[request.param]


def test_round_trip_is_bit_identical(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = Model.load(tmp_path)
    x_NCHW = inputs(model, 4).numpy()
    assert np.array_equal(again.logits_NK(x_NCHW), model.logits_NK(x_NCHW))
    assert (again.blueprint, again.spec, again.classes) == (model.blueprint, model.spec, model.classes)
    assert again.integer == model.integer
    assert again.integer or not any(layer.training for layer in again.module.modules())


def test_nothing_is_pickled(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {STRUCTURE, WEIGHTS}
    header = int.from_bytes((tmp_path / WEIGHTS).read_bytes()[:8], "little")
    assert json.loads((tmp_path / WEIGHTS).read_bytes()[8 : 8 + header])


def test_saving_does_not_tie_the_file_to_the_model(untrained: Model, tmp_path: Path) -> None:
    untrained.save(tmp_path)
    first, second = Model.load(tmp_path), Model.load(tmp_path)
    next(iter(first.module.parameters())).data.zero_()
    assert float(next(iter(second.module.parameters())).detach().abs().max()) > 0


def test_batches_do_not_matter(trained: Model) -> None:
    x_NCHW = inputs(trained, 7).numpy()
    np.testing.assert_allclose(trained.logits_NK(x_NCHW, batch=2), trained.logits_NK(x_NCHW), atol=1e-5)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 200])
def test_weights_that_are_not_safetensors(content: bytes, untrained: Model, tmp_path: Path) -> None:
    untrained.save(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(CorruptFile, match=WEIGHTS):
        Model.load(tmp_path)


def test_cut_weights(untrained: Model, tmp_path: Path) -> None:
    untrained.save(tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(CorruptFile, match=WEIGHTS):
        Model.load(tmp_path)


@pytest.mark.parametrize("name", [STRUCTURE, WEIGHTS])
def test_a_missing_file(name: str, untrained: Model, tmp_path: Path) -> None:
    untrained.save(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(CorruptFile, match=name):
        Model.load(tmp_path)


def test_weights_of_another_network(untrained: Model, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    untrained.save(tmp_path)
    family("mobilenet_v2", untrained).save(tmp_path / "other")
    (tmp_path / "other" / WEIGHTS).replace(tmp_path / WEIGHTS)
    with pytest.raises(CorruptFile, match="does not fit"):
        Model.load(tmp_path)


def without(key: str) -> Any:
    return lambda data: {name: value for name, value in data.items() if name != key}


DAMAGES = {
    "no blueprint": without("blueprint"),
    "no spec": without("spec"),
    "no classes": without("classes"),
    "no integer": without("integer"),
    "a list": lambda data: [data],
    "spec out of range": lambda data: {**data, "spec": {**data["spec"], "std": [0.0]}},
    "an unknown blueprint": lambda data: {**data, "blueprint": {"Netwrok": {}}},
    "an unknown field": lambda data: {**data, "blueprint": {"Network": {"familly": "ResNet18"}}},
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_structure(name: str, untrained: Model, tmp_path: Path) -> None:
    untrained.save(tmp_path)
    path = tmp_path / STRUCTURE
    path.write_text(json.dumps(DAMAGES[name](json.loads(path.read_text()))))
    with pytest.raises(CorruptFile, match=STRUCTURE):
        Model.load(tmp_path)


def test_a_structure_that_is_not_json(untrained: Model, tmp_path: Path) -> None:
    untrained.save(tmp_path)
    (tmp_path / STRUCTURE).write_bytes(b"\xff{")
    with pytest.raises(CorruptFile, match=STRUCTURE):
        Model.load(tmp_path)


@pytest.mark.parametrize(
    "widths", [{"features.0.0": [7, 1]}, {"features.99": [8, 8]}, {"features.0.0": [0, 1]}, {"features.0.2": [4, 4]}]
)
def test_widths_that_do_not_fit(widths: dict[str, list[int]], trained: Model, context: Context, tmp_path: Path) -> None:
    Prune(ratio=0.4)(trained, context).save(tmp_path)
    structure = json.loads((tmp_path / STRUCTURE).read_text())
    structure["blueprint"]["Resized"]["widths"].update(widths)
    (tmp_path / STRUCTURE).write_text(json.dumps(structure))
    if widths == {"features.0.2": [4, 4]}:  # an activation has no width: nothing to change
        Model.load(tmp_path)
        return
    with pytest.raises(CorruptFile):
        Model.load(tmp_path)


def test_a_missing_package_is_not_called_damage(
    untrained: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrained.save(tmp_path)
    monkeypatch.setattr(type(untrained.blueprint), "requires", ("a_package_nobody_has",))
    assert issubclass(type(untrained.blueprint), Plugin)
    with pytest.raises(UnavailableError, match="not installed") as caught:
        Model.load(tmp_path)
    assert not isinstance(caught.value, CorruptFile)
