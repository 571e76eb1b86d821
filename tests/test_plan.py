"""Content keys: a step's changes exactly when it, or what it is made from, changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plan import Step, plan
from pipeline.settings import apply_setting
from pipeline.stage import ARTIFACT
from pipeline.study import Study, read_study
from pipeline.trainers.supervised import Train

VIEW: dict[str, Any] = {
    "name": "keys",
    "data": "digits",
    "reference": "big",
    "recipes": {
        "big": ["ResNet18", "Train"],
        "small": ["MobileNetV3", "Train"],
        "taught": [{"after": "small"}, {"Distill": {"teacher": "big"}}],
        "pruned": [{"after": "small"}, "Prune", {"Train": {"epochs": 2}}],
        "int8": [{"after": "taught"}, "PostTraining"],
    },
    "exports": ["ExportOnnx", "ExportPt2"],
    "runtimes": ["onnxruntime", "eager"],
}
# Which recipes are made from which stage of which other, teachers included.
DOWNSTREAM = {"big": {"taught", "int8"}, "small": {"taught", "pruned", "int8"}, "taught": {"int8"}}
FIELDS = {
    "big.ResNet18.stem_stride": (0, 1),
    "big.Train.epochs": (1, 3),
    "small.MobileNetV3.width": (0, 0.5),
    "small.Train.lr": (1, 0.5),
    "taught.Distill.temperature": (0, 1.5),
    "pruned.Prune.ratio": (0, 0.25),
    "pruned.Train.epochs": (1, 9),
}


def view() -> dict[str, Any]:
    import copy

    return copy.deepcopy(VIEW)


def with_set(*settings: str) -> Study:
    data = view()
    for setting in settings:
        apply_setting(data, setting)
    return read_study(data)


def keys(study: Study, digest: str = "d") -> dict[tuple[str, str, int], str]:
    """Keys by recipe, stage and position in the recipe."""
    found: dict[tuple[str, str, int], str] = {}
    for step in plan(study, digest):
        position = sum(recipe == step.recipe for recipe, _, _ in found)
        found[step.recipe, step.stage.kind, position] = step.key
    return found


def changed(before: Study, after: Study) -> set[tuple[str, str, int]]:
    one, other = keys(before), keys(after)
    assert one.keys() == other.keys()
    return {place for place in one if one[place] != other[place]}


BASE = with_set()
PLACES = set(keys(BASE))


def made_from(recipe: str, position: int) -> set[tuple[str, str, int]]:
    """What stands after a stage, in its own recipe and in those that start from it or learn from it."""
    return {
        place
        for place in PLACES
        if (place[0] == recipe and place[2] >= position) or place[0] in DOWNSTREAM.get(recipe, ())
    }


@given(st.sets(st.sampled_from(sorted(FIELDS)), max_size=4))
def test_exactly_what_is_made_from_a_change_gets_new_keys(fields: set[str]) -> None:
    expected: set[tuple[str, str, int]] = set()
    for field in fields:
        expected |= made_from(field.partition(".")[0], FIELDS[field][0])
    after = with_set(*(f"recipes.{field}={FIELDS[field][1]}" for field in fields))
    assert changed(BASE, after) == expected


def test_a_change_of_a_teacher_reaches_its_students_and_nobody_else() -> None:
    recipes = {recipe for recipe, _, _ in changed(BASE, with_set("recipes.big.Train.smoothing=0.3"))}
    assert recipes == {"big", "taught", "int8"}


def test_another_teacher_is_another_student() -> None:
    data = view()
    data["recipes"]["taught"][1]["Distill"]["teacher"] = "small"
    assert changed(BASE, read_study(data)) == made_from("taught", 0)


@pytest.mark.parametrize(
    "setting",
    [
        "benchmark.rounds=7",
        "benchmark.threads=2",
        "budget.max_drop=0.5",
        "name=other",
        "reference=small",
        "budget.max_bytes=9",
    ],
)
def test_what_does_not_make_models_changes_no_key(setting: str) -> None:
    assert changed(BASE, with_set(setting)) == set()


def test_runtimes_change_no_key() -> None:
    assert changed(BASE, with_set("runtimes=[eager, onnxruntime]")) == set()


def test_an_exporter_changes_only_its_artifacts() -> None:
    places = changed(BASE, with_set("exports.ExportOnnx.opset=20"))
    assert {stage for _, stage, _ in places} == {"ExportOnnx"}
    assert len(places) == len(VIEW["recipes"])


def test_data_and_seed_change_everything() -> None:
    assert changed(BASE, with_set("seed=1")) == PLACES
    one, other = keys(BASE, "d"), keys(BASE, "e")
    assert all(one[place] != other[place] for place in one)


def test_a_stage_of_a_new_version_is_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys(BASE)
    monkeypatch.setattr(Train, "version", 2)
    after = keys(BASE)
    same = {place for place in before if before[place] == after[place]}
    assert same == {("big", "ResNet18", 0), ("small", "MobileNetV3", 0)}


def test_recipes_with_the_same_beginning_share_it() -> None:
    data = view()
    data["recipes"]["twin"] = data["recipes"]["small"]
    found = keys(read_study(data))
    assert found["twin", "Train", 1] == found["small", "Train", 1]
    assert found["twin", "ExportOnnx", 2] != found["small", "ExportOnnx", 2]


def test_a_default_written_out_is_the_same_key() -> None:
    assert changed(BASE, with_set("recipes.small.Train.epochs=10", "data.size=16")) == set()


def test_a_new_name_makes_new_artifacts_of_the_same_models() -> None:
    data = view()
    data["recipes"] = {name.replace("pruned", "lean"): stages for name, stages in data["recipes"].items()}
    found = keys(read_study(data))
    before = keys(BASE)
    assert found["lean", "Train", 1] == before["pruned", "Train", 1]
    assert found["lean", "ExportOnnx", 2] != before["pruned", "ExportOnnx", 2]


def test_steps_come_after_what_they_need() -> None:
    done: set[str] = set()
    for step in plan(BASE, "d"):
        assert {step.before, *step.teachers.values()} - {""} <= done
        done.add(step.key)


def test_steps_know_where_they_come_from() -> None:
    steps = {step.label: step for step in plan(BASE, "d")}
    assert steps["big · ResNet18"].before == ""
    assert steps["taught · Distill"].before == steps["small · Train"].key
    assert steps["taught · Distill"].teachers == {"big": steps["big · Train"].key}
    assert steps["int8 · ExportPt2"].before == steps["int8 · PostTraining"].key
    lineage = [next(iter(stage)) for stage in steps["int8 · ExportOnnx"].lineage]
    assert lineage == ["MobileNetV3", "Train", "Distill", "PostTraining", "ExportOnnx"]


def test_every_model_is_exported_in_every_format() -> None:
    artifacts = [step for step in plan(BASE, "d") if step.stage.gives == ARTIFACT]
    assert len({step.key for step in artifacts}) == len(artifacts) == 2 * len(VIEW["recipes"])


def test_a_recipe_that_exports_itself_is_not_exported_again() -> None:
    data = view()
    data["recipes"]["own"] = ["MobileNetV2", {"ExportOnnx": {"opset": 20}}]
    own: list[Step] = [step for step in plan(read_study(data), "d") if step.recipe == "own"]
    assert [step.stage.kind for step in own] == ["MobileNetV2", "ExportOnnx"]


def test_a_key_is_the_same_in_every_process() -> None:
    """A cache outlives its process: if this changes, every stored model is made again; raise a version instead."""
    found = keys(BASE)
    assert len(set(found.values())) == len(found)
    assert all(len(key) == 24 and set(key) <= set("0123456789abcdef") for key in found.values())
    assert keys(with_set()) == found


def test_what_decides_by_time_is_done_again_on_another_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    study = read_study(
        {**VIEW, "recipes": {**VIEW["recipes"], "fast": ["ResNet18", {"LatencyPrune": {"target_ms": 9}}]}}
    )
    here = {step.label: step.key for step in plan(study, "digest")}
    monkeypatch.setattr("pipeline.plan.cpu_name", lambda: "another")
    there = {step.label: step.key for step in plan(study, "digest")}
    assert {label.partition(" ")[0] for label in here if here[label] != there[label]} == {"fast"}
    assert here["fast · ResNet18"] == there["fast · ResNet18"]
