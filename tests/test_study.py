"""A study is a value and, exactly, a YAML text; what cannot work is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.digits import Digits
from pipeline.data.folder import Folder
from pipeline.errors import UsageError
from pipeline.exporters.onnx import ExportOnnx
from pipeline.exporters.pt2 import ExportPt2
from pipeline.exporters.torchscript import ExportTorchScript
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.models.mobilenet_v3 import MobileNetV3
from pipeline.models.resnet import ResNet18
from pipeline.pruners.structured import Prune
from pipeline.quantizers.aware import QuantizationAware
from pipeline.quantizers.post_training import PostTraining
from pipeline.runtimes.eager import Eager
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.runtimes.torchscript import TorchScript
from pipeline.spec import Budget
from pipeline.stage import ARTIFACT, FLOAT, INT8, Recipe, Stage, check_chain
from pipeline.study import Benchmark, Study, load_study, parse_yaml, read_study
from pipeline.trainers.distillation import Distill
from pipeline.trainers.supervised import Train

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": "digits",
    "reference": "a",
    "recipes": {"a": ["ResNet18", "Train"], "b": [{"after": "a"}, {"Distill": {"teacher": "a"}}, "PostTraining"]},
    "exports": ["ExportOnnx"],
    "runtimes": ["onnxruntime"],
}

# --- every study survives YAML ---------------------------------------------------------------

POSITIVE = st.floats(1e-9, 1e9, exclude_min=True)
FAMILIES = st.one_of(
    st.just(ResNet18()),
    st.builds(MobileNetV2, width=st.floats(0.1, 2)),
    st.builds(MobileNetV3, size=st.sampled_from(["small", "large"]), stem_stride=st.sampled_from([1, 2])),
)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True)


def middles(teachers: list[str]) -> st.SearchStrategy[Stage]:
    train = st.builds(Train, epochs=st.integers(1, 99), lr=POSITIVE, smoothing=st.floats(0, 1))
    prune = st.builds(Prune, ratio=st.floats(0.01, 0.99), round_to=st.integers(1, 64))
    distill = st.builds(Distill, teacher=st.sampled_from(teachers)) if teachers else train
    return st.one_of(train, prune, distill)


COUNTS = st.integers(1, 99)
BENCHMARKS = st.builds(
    Benchmark,
    precision=st.floats(0.001, 0.999),
    seconds=POSITIVE,
    sittings=st.integers(4, 99),
    rounds=COUNTS,
    calls=COUNTS,
    threads=COUNTS,
    sweep_threads=st.lists(COUNTS, max_size=3).map(tuple),
    sweep_batches=st.lists(COUNTS, max_size=3).map(tuple),
    cold_starts=st.integers(0, 9),
    least_calls=st.integers(0, 2000),
    least_seconds=st.floats(0, 100),
)


@st.composite
def recipes(draw: st.DrawFn) -> tuple[Recipe, ...]:
    names = draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    made: list[Recipe] = []
    floats: list[str] = []
    for name in names:
        after = draw(st.sampled_from(["", *floats]))
        stages = [*([] if after else [draw(FAMILIES)]), *draw(st.lists(middles(floats), min_size=1, max_size=3))]
        last = draw(st.sampled_from([(), (PostTraining(),), (QuantizationAware(epochs=3), ExportOnnx(opset=18))]))
        made.append(Recipe(name=name, after=after, stages=(*stages, *last)))
        if not last:
            floats.append(name)
    return tuple(made)


@st.composite
def studies(draw: st.DrawFn) -> Study:
    made = draw(recipes())
    paths = st.text(st.characters(codec="utf-8"), max_size=12)
    return Study(
        name=draw(NAMES),
        data=draw(st.one_of(st.builds(Digits, size=st.integers(1, 64)), st.builds(Folder, path=paths))),
        recipes=made,
        reference=draw(st.sampled_from([recipe.name for recipe in made])),
        exports=(ExportOnnx(), ExportTorchScript(), ExportPt2()),
        runtimes=(OnnxRuntime(), TorchScript(), Eager()),
        seed=draw(st.integers(0, 2**31 - 1)),
        budget=draw(st.builds(Budget, max_drop=st.floats(0, 1), max_latency_ms=st.none() | POSITIVE)),
        benchmark=draw(BENCHMARKS),
    )


@given(study=studies())
def test_what_is_written_is_read_back_exactly(study: Study, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "study.yaml"
    path.write_text(study.to_yaml(), encoding="utf-8")
    again = load_study(path)
    assert again == study
    assert again.to_yaml() == study.to_yaml()
    assert yaml.safe_load(study.to_yaml()) == study.written()


def test_the_short_form_is_read() -> None:
    study = read_study(TINY)
    assert study.data == Digits()
    assert study.recipes[1] == Recipe(name="b", after="a", stages=(Distill(teacher="a"), PostTraining()))
    assert (study.seed, study.budget, study.benchmark) == (0, Budget(), Benchmark())


def test_a_chain_begins_at_the_very_first_recipe() -> None:
    study = read_study({**TINY, "recipes": {**TINY["recipes"], "c": [{"after": "a"}, "Prune"]}})
    assert [stage.kind for stage in study.chain("b")] == ["ResNet18", "Train", "Distill", "PostTraining"]
    assert [stage.kind for stage in study.chain("c")] == ["ResNet18", "Train", "Prune"]


# --- what cannot work ------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": None}, "name"),
    "a path for a name": ({"name": "../up"}, "name"),
    "an unknown key": ({"recepies": {}}, "did you mean 'recipes'"),
    "no recipes": ({"recipes": {}}, "there are no recipes"),
    "recipes in a list": ({"recipes": [["ResNet18"]]}, "recipes by name"),
    "a recipe that is a name": ({"recipes": {"a": "ResNet18"}}, "list of stages"),
    "an empty recipe": ({"recipes": {"a": []}}, "list of stages"),
    "a path for a recipe": ({"recipes": {"a": ["ResNet18"], "../b": ["ResNet18"]}}, r"\.\./b"),
    "no first stage": ({"recipes": {"a": ["Train"]}}, "Train takes float model, but the start gives nothing"),
    "two families": ({"recipes": {"a": ["ResNet18", "MobileNetV2"]}}, "MobileNetV2 takes nothing"),
    "training of int8": ({"recipes": {"a": ["ResNet18", "PostTraining", "Train"]}}, "gives int8 model"),
    "pruning of a file": ({"recipes": {"a": ["ResNet18", "ExportOnnx", "Prune"]}}, "gives artifact"),
    "going on from int8": (
        {"recipes": {"a": ["ResNet18", "PostTraining"], "b": [{"after": "a"}, "Train"]}},
        "gives int8 model",
    ),
    "an unknown reference": ({"reference": "bb"}, "no recipe is called 'bb' — did you mean 'b'"),
    "an unknown after": ({"recipes": {"a": ["ResNet18"], "b": [{"after": "aa"}, "Train"]}}, "did you mean 'a'"),
    "after a later one": (
        {"recipes": {"b": [{"after": "a"}, "Train"], "a": ["ResNet18"]}},
        "'b' uses 'a', which does not stand before it",
    ),
    "after itself": ({"recipes": {"a": [{"after": "a"}, "Train"]}}, "does not stand before it"),
    "taught by itself": ({"recipes": {"a": ["ResNet18", {"Distill": {"teacher": "a"}}]}}, "does not stand before it"),
    "taught by a later one": (
        {"recipes": {"a": ["ResNet18", {"Distill": {"teacher": "b"}}], "b": ["ResNet18"]}},
        "does not stand before it",
    ),
    "taught by nobody": ({"recipes": {"a": ["ResNet18", {"Distill": {"teacher": "zz"}}]}}, "no recipe is called"),
    "taught by a file": (
        {"recipes": {"a": ["ResNet18", "ExportOnnx"], "b": ["ResNet18", {"Distill": {"teacher": "a"}}]}},
        "cannot teach",
    ),
    "an export that trains": ({"exports": ["ExportOnnx", "Train"]}, "Train"),
    "no exports": ({"exports": []}, "export"),
    "exports by name": ({"exports": {"ExportOnnx": {}}}, "expected a list"),
    "no runtimes": ({"runtimes": []}, "runtime"),
    "an unknown runtime": ({"runtimes": ["onnxruntim"]}, "did you mean 'onnxruntime'"),
    "a runtime of another format": ({"runtimes": ["onnxruntime", "eager"]}, "eager runs pt2, which nothing exports"),
    "an unknown data set": ({"data": "digit"}, "did you mean 'digits'"),
    "a negative seed": ({"seed": -1}, "seed"),
    "no round": ({"benchmark": {"rounds": 0}}, "rounds"),
    "too few sittings": ({"benchmark": {"sittings": 3}}, "sittings"),
    "not precise at all": ({"benchmark": {"precision": 1.0}}, "precision"),
    "no threads in a sweep": ({"benchmark": {"sweep_threads": [2, 0]}}, "sweep_threads"),
    "fewer than no cold starts": ({"benchmark": {"cold_starts": -1}}, "cold_starts"),
    "an unknown budget": ({"budget": {"max_size": 3}}, "unknown key"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_work_is_refused(name: str) -> None:
    change, said = WRONG[name]
    with pytest.raises(UsageError, match=said) as caught:
        read_study({**TINY, **change})
    assert caught.value.exit_code == 2
    assert len(caught.value.lines()) <= 6


@pytest.mark.parametrize("key", ["name", "data", "reference", "recipes", "exports", "runtimes"])
def test_what_is_missing_is_named(key: str) -> None:
    with pytest.raises(UsageError, match=key):
        read_study({name: value for name, value in TINY.items() if name != key})


@pytest.mark.parametrize("data", [None, [], "study", 3])
def test_what_is_no_study_is_refused(data: Any) -> None:
    with pytest.raises(UsageError, match="expected a mapping"):
        read_study(data)


def test_two_recipes_of_one_name() -> None:
    recipe = Recipe(name="a", stages=(ResNet18(),))
    with pytest.raises(UsageError, match="two recipes have the same name"):
        Study(
            name="x", data=Digits(), recipes=(recipe, recipe), reference="a",
            exports=(ExportOnnx(),), runtimes=(OnnxRuntime(),),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"name: [", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"name: a\nname: b\n", "stands here twice"),
        (b"recipes:\n  a: [ResNet18]\n  a: [MobileNetV2]\n", "line 3"),
        (b"!!python/object/apply:os.system ['true']", "not valid YAML"),
    ],
)
def test_what_is_no_yaml_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said) as caught:
        parse_yaml(path)
    assert str(path) in str(caught.value)


def test_a_study_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_study(tmp_path / "none.yaml")


# --- chains ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stages", "gives"),
    [
        ([ResNet18()], FLOAT),
        ([ResNet18(), Train(), Prune(), Train()], FLOAT),
        ([MobileNetV3(), Train(), PostTraining()], INT8),
        ([MobileNetV3(), QuantizationAware(), ExportOnnx()], ARTIFACT),
        ([MobileNetV3(), ExportPt2()], ARTIFACT),
        ([], "nothing"),
    ],
)
def test_what_a_chain_gives(stages: list[Stage], gives: str) -> None:
    assert check_chain(stages, "here") == gives


def test_a_chain_that_does_not_fit_says_where() -> None:
    with pytest.raises(UsageError, match="here: PostTraining takes float model, but PostTraining gives int8 model"):
        check_chain([ResNet18(), PostTraining(), PostTraining()], "here")
