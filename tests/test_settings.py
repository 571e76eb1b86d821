"""A study by name or file, and what ``--set`` makes of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tiny_run import study, written

from pipeline import studies
from pipeline.errors import UsageError
from pipeline.pruners.structured import Prune
from pipeline.settings import apply_setting, apply_weights, finished_folder, resolve, study_data
from pipeline.study import Study, read_study
from pipeline.trainers.supervised import Train


def with_set(*settings: str, **changes: Any) -> Study:
    data = {**study(), **changes}
    for setting in settings:
        apply_setting(data, setting)
    return read_study(data)


def test_a_built_in_study_by_name() -> None:
    assert resolve("quickstart") == studies.built_in("quickstart")


def test_a_file_wherever_it_is_and_whatever_it_is_called(tmp_path: Path) -> None:
    for name in ("study.yaml", "study.yml", "study"):
        (tmp_path / name).write_text(yaml.safe_dump(study()))
        assert resolve(str(tmp_path / name)) == read_study(study())


def test_a_built_in_name_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert resolve("quickstart").name == "quickstart"


def test_a_setting_does_not_stick_to_the_built_in_study() -> None:
    assert resolve("quickstart", ["recipes.resnet18.Train.epochs=99"]) != studies.built_in("quickstart")
    assert study_data("quickstart") == studies.built_in("quickstart").written()


def test_the_seed_option_wins_over_the_setting() -> None:
    assert resolve("quickstart", ["seed=4"], seed=5).seed == 5
    assert resolve("quickstart", ["seed=4"]).seed == 4
    assert resolve("quickstart", ["seed=4"], seed=0).seed == 0


def test_later_settings_win() -> None:
    assert with_set("seed=1", "seed=2").seed == 2


def test_every_place_of_a_study_can_be_set() -> None:
    changed = with_set(
        "name=other",
        "benchmark.rounds=9",
        "budget.max_drop=0.25",
        "data.size=12",
        "recipes.base.Train.lr=1e-3",
        "recipes.base.MobileNetV3.size=large",
        "exports.ExportOnnx.opset=20",
        "recipes.int8=[{after: base}, {Prune: {ratio: 0.25}}]",
    )
    [model, train] = changed.recipe("base").stages
    assert (changed.name, changed.benchmark.rounds, changed.budget.max_drop) == ("other", 9, 0.25)
    assert changed.data.written() == {"digits": {"size": 12}}
    assert isinstance(train, Train)
    assert (train.lr, train.epochs) == (0.001, 3)
    assert model.written() == {"MobileNetV3": {"size": "large", "width": 0.25, "stem_stride": 1}}
    assert changed.exports[0].written() == {"ExportOnnx": {"opset": 20}}
    assert changed.recipe("int8").stages == (Prune(ratio=0.25),)


@pytest.mark.parametrize("plain", ["Train", {"Train": None}, {"Train": {}}])
def test_a_stage_without_fields_gets_them(plain: Any) -> None:
    recipes = {"base": [{"MobileNetV3": {"width": 0.25}}, plain]}
    changed = with_set("recipes.base.Train.epochs=2", recipes=recipes)
    assert changed.recipe("base").stages[1] == Train(epochs=2)


@pytest.mark.parametrize("plain", ["digits", {"digits": None}, {"digits": {}}, {"digits": {"size": 8}}])
def test_data_without_fields_gets_them(plain: Any) -> None:
    assert with_set("data.size=9", data=plain).data.written() == {"digits": {"size": 9}}


def test_data_with_text_after_a_colon_keeps_it() -> None:
    changed = with_set("data.size=9", data="folder:/photographs")
    assert changed.data.written() == {"folder": {"path": "/photographs", "size": 9}}


@pytest.mark.parametrize("setting", ["budget.max_drop=0.5", "benchmark.rounds=8"])
def test_what_a_file_leaves_to_the_defaults_can_be_set(setting: str) -> None:
    data = study()
    del data["budget"], data["benchmark"]
    apply_setting(data, setting)
    changed = read_study(data)
    assert (changed.budget.max_drop, changed.benchmark.rounds) in ((0.5, 5), (0.01, 8))


def test_a_value_may_hold_an_equals_sign() -> None:
    assert with_set("data={folder: {path: /a=b}}").data.written() == {"folder": {"path": "/a=b"}}


def test_a_recipe_may_be_called_data() -> None:
    data = study()
    recipes = {"data": data["recipes"]["base"]}
    assert with_set("recipes.data.Train.epochs=7", recipes=recipes, reference="data").recipe("data").stages[1] == Train(
        epochs=7, batch=128, augment="none"
    )


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("seed", "expected key=value"),
        ("=3", "expected key=value"),
        ("benchmrk.rounds=3", "did you mean 'benchmark'"),
        ("recipes.base.Trian.epochs=3", "did you mean 'Train'"),
        ("recipes.base.2.epochs=3", "unknown key '2'"),
        ("seed.a=3", "unknown key 'seed'"),
        ("name.a=3", "nothing to set at 'name.a'"),
        ("exports.first=3", "nothing to set at 'exports.first'"),
        ("seed={", "not a YAML value"),
    ],
)
def test_settings_that_cannot_be(setting: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        apply_setting(study(), setting)
    assert setting in caught.value.cause


@given(st.text(max_size=30), st.lists(st.sampled_from(["recipes", "base", "Train", "data", "", "x", "0"]), max_size=4))
def test_any_setting_is_taken_or_refused_with_words(text: str, path: list[str]) -> None:
    data = study()
    with suppress(UsageError):  # and nothing else
        apply_setting(data, f"{'.'.join(path)}={text}")
        read_study(data)


# --- --weights -------------------------------------------------------------------------------


def with_weights(text: str, **changes: Any) -> Study:
    data = {**study(), **changes}
    apply_weights(data, text)
    return read_study(data)


def started_from(found: Study, recipe: str) -> str:
    return str(getattr(found.chain(recipe)[0], "weights", None))


def test_weights_are_the_reference_recipes() -> None:
    found = with_weights("somewhere/a.pth")
    assert started_from(found, "base") == "somewhere/a.pth"
    assert found.recipe("base").stages[0].written() == {
        "MobileNetV3": {"weights": "somewhere/a.pth", "width": 0.25, "stem_stride": 1}
    }


@pytest.mark.parametrize("family", ["LeNet", {"LeNet": None}, {"LeNet": {"width": 1.0}}])
def test_weights_of_a_named_recipe(family: Any) -> None:
    found = with_weights("other=a=b.pth", recipes={**study()["recipes"], "other": [family]})
    assert (started_from(found, "other"), started_from(found, "base")) == ("a=b.pth", "")


def test_weights_of_a_recipe_that_comes_after_another() -> None:
    assert started_from(with_weights("int8=a.pth"), "base") == "a.pth"


def test_a_file_with_an_equals_sign_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "a=b.pth").touch()
    assert started_from(with_weights(str(tmp_path / "a=b.pth")), "base") == str(tmp_path / "a=b.pth")


@pytest.mark.parametrize(
    ("text", "changes", "told"),
    [
        ("bsae=a.pth", {}, "unknown recipe 'bsae' — did you mean 'base'"),
        ("a.pth", {"reference": "nothing"}, "unknown recipe 'nothing'"),
        ("a.pth", {"recipes": ["LeNet"]}, "has no recipes"),
        ("a.pth", {"recipes": {"base": []}}, "'base' does not begin with a model family"),
        ("a.pth", {"recipes": {"base": [{"LeNet": 3}]}}, "'base' does not begin with a model family"),
        ("a.pth", {"recipes": {"base": [{"after": "base"}]}}, "'base' does not begin with a model family"),
        ("a.pth", {"recipes": {"base": ["Train"]}}, "unknown key"),
    ],
)
def test_weights_that_cannot_be(text: str, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        with_weights(text, **changes)


def test_finished_folder_is_a_path_or_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert finished_folder("tiny") == Path("exported/tiny")
    (tmp_path / "tiny").mkdir()
    assert finished_folder("tiny") == Path("tiny")


def test_a_list_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a mapping"):
        resolve(str(written(tmp_path, "- 1")))
