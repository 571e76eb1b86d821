"""Everything a person may get wrong: the exit code, six lines at most, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from report.example import example_results
from tiny_run import edgewright, study, written

from pipeline import plugin

# A study's YAML view and a scratch folder -> the view with the mistake, or a file's text.
Edit = Callable[[dict[str, Any], Path], Any]

MODEL, TRAIN = {"MobileNetV3": {"width": 0.25, "stem_stride": 1}}, {"Train": {"epochs": 1, "batch": 256}}
RUN = ("run", "{file}", "--out", "{out}", "--threads", "1")
BOX = "Usage:"


def right(data: dict[str, Any], _: Path) -> Any:
    """No mistake in the file; it is on the command line."""
    return data


def at(path: str, value: Any) -> Edit:
    """The view with ``value`` at a dotted path."""

    def edit(data: dict[str, Any], _: Path) -> Any:
        inner, (*parts, last) = data, path.split(".")
        for part in parts:
            inner = inner[part]
        inner[last] = value
        return data

    return edit


def base(*stages: Any) -> Edit:
    return at("recipes.base", list(stages))


def int8(*stages: Any) -> Edit:
    return at("recipes.int8", [{"after": "base"}, *stages])


def without(key: str) -> Edit:
    return lambda data, _: {name: value for name, value in data.items() if name != key}


def text(content: str) -> Edit:
    return lambda data, _: content


def twice(data: dict[str, Any], folder: Path) -> str:
    """Two recipes of one name, which a Python dictionary cannot hold."""
    lines = written(folder, data).read_text().replace("\n  int8:", "\n  base:")
    return lines.replace("after: base", "after: b")


def photographs(**classes: dict[str, bytes | None]) -> Edit:
    """A folder of images; None writes a real one, bytes are written as they are."""

    def edit(data: dict[str, Any], folder: Path) -> Any:
        root = folder / "photographs"
        root.mkdir()
        for name, files in classes.items():
            (root / name).mkdir()
            for file, content in files.items():
                if content is None:
                    Image.new("RGB", (9, 9)).save(root / name / file)
                else:
                    (root / name / file).write_bytes(content)
        return {**data, "data": {"folder": {"path": str(root), "size": 8}}}

    return edit


def divided(**parts: list[str]) -> Edit:
    """Folders of splits, each with one image in each of its classes."""

    def edit(data: dict[str, Any], folder: Path) -> Any:
        for part, classes in parts.items():
            for name in classes:
                (folder / "photographs" / part / name).mkdir(parents=True)
                Image.new("RGB", (9, 9)).save(folder / "photographs" / part / name / "1.png")
        return {**data, "data": {"folder": {"path": str(folder / "photographs"), "size": 8}}}

    return edit


def arrays(**named: Any) -> Edit:
    """An npz file of these arrays."""

    def edit(data: dict[str, Any], folder: Path) -> Any:
        np.savez(folder / "arrays.npz", **named)
        return {**data, "data": f"npz:{folder / 'arrays.npz'}"}

    return edit


def foreign_weights(data: dict[str, Any], folder: Path) -> Any:
    """The weights of a dense network for a MobileNet."""
    torch.save({"0.weight": torch.zeros(3, 3), "0.bias": torch.zeros(3)}, folder / "other.pth")
    return base({"MobileNetV3": {"width": 0.25, "stem_stride": 1, "weights": str(folder / "other.pth")}})(data, folder)


def damaged_mnist(data: dict[str, Any], folder: Path) -> Any:
    """Four files that are not MNIST's."""
    raw = folder / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, kinds in (("train", ("images-idx3", "labels-idx1")), ("t10k", ("images-idx3", "labels-idx1"))):
        for kind in kinds:
            (raw / f"{part}-{kind}-ubyte.gz").write_bytes(b"not the file")
    return {**data, "data": "mnist"}


def given(name: str, content: Any) -> Edit:
    """A JSON file in the scratch folder, beside the study."""

    def edit(data: dict[str, Any], folder: Path) -> Any:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
        return data

    return edit


def unlike_runs(data: dict[str, Any], folder: Path) -> Any:
    for name in ("one", "other"):
        results = example_results().model_dump(mode="json")
        given(f"{name}/results.json", {**results, "machine": {"cpu": f"{name} CPU"}})(data, folder)
    return data


NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
CHAIN_FIX = "begin with a model family"
# name: edit, more arguments (or a whole command where the first is a verb), exit code, what stderr names
MISTAKES: dict[str, tuple[Edit, tuple[str, ...], int, tuple[str, ...]]] = {
    "unknown key": (at("benchmrk", {}), (), 2, ("study.yaml.benchmrk", "did you mean 'benchmark'?")),
    "unknown key in a stage": (base(MODEL, {"Train": {"epoch": 1}}), (), 2, ("Train.epoch:", "'epochs'?")),
    "unknown key in the budget": (at("budget.max_dorp", 0.1), (), 2, ("budget.max_dorp", "'max_drop'?")),
    "unknown key in benchmark": (at("benchmark.round", 5), (), 2, ("benchmark.round:", "'rounds'?")),
    "set: unknown key": (right, ("--set", "bench.rounds=9"), 2, ("--set bench.rounds=9", "'benchmark'?")),
    "set: unknown field": (right, ("--set", "recipes.base.Train.epoch=9"), 2, ("Train.epoch:", "'epochs'?")),
    "set: unknown stage": (right, ("--set", "recipes.base.Trian.epochs=9"), 2, ("'Trian'", "'Train'?")),
    "set: unknown recipe": (right, ("--set", "recipes.bas.Train.epochs=9"), 2, ("'bas'", "did you mean 'base'?")),
    "set: below a number": (right, ("--set", "benchmark.rounds.x=9"), 2, ("nothing to set at 'benchmark.rounds.x'",)),
    "set: no equals sign": (right, ("--set", "benchmark.rounds"), 2, ("expected key=value", "fix: for example")),
    "set: no YAML": (right, ("--set", "seed=[1"), 2, ("--set seed=[1", "is not a YAML value")),
    "set: not a stage": (base(MODEL, 3), ("--set", "recipes.base.Train.epochs=1"), 2, ("'Train'", "MobileNetV3, 3")),
    "set: two kinds of data": (at("data", {"digits": {}, "folder": {}}), ("--set", "data.size=8"), 2, ("data.size",)),
    "set: key beside a number": (at("7", 1), ("--set", "7x.a=1"), 2, ("unknown key '7x'", "did you mean '7'?")),
    "wrong type": (base(MODEL, {"Train": {"epochs": "many"}}), (), 2, ("Train.epochs", "integer", "'many'")),
    "no epochs": (base(MODEL, {"Train": {"epochs": 0}}), (), 2, ("Train.epochs", "greater than 0", "got 0")),
    "prune everything": (base(MODEL, {"Prune": {"ratio": 1.0}}), (), 2, ("Prune.ratio", "less than 1", "got 1.0")),
    "negative seed": (at("seed", -1), (), 2, ("study.yaml.seed", "greater than or equal to 0", "got -1")),
    "drop above one": (at("budget.max_drop", 2), (), 2, ("budget.max_drop", "less than or equal to 1", "got 2")),
    "no round": (at("benchmark.rounds", 0), (), 2, ("benchmark.rounds", "greater than 0", "got 0")),
    "one sitting": (at("benchmark.sittings", 1), (), 2, ("benchmark.sittings", "greater than or equal to 4", "got 1")),
    "no precision": (at("benchmark.precision", 0), (), 2, ("benchmark.precision", "greater than 0", "got 0")),
    "no images a call": (at("benchmark.sweep_batches", [8, 0]), (), 2, ("sweep_batches.1", "greater than 0", "got 0")),
    "not a number": (at("budget.max_drop", float("nan")), (), 2, ("budget.max_drop", "got nan")),
    "train first": (base("Train"), (), 2, ("recipes.base: Train takes float model", CHAIN_FIX)),
    "quantize twice": (int8("PostTraining", "PostTraining"), (), 2, ("PostTraining gives int8 model", CHAIN_FIX)),
    "prune int8": (int8("PostTraining", "Prune"), (), 2, ("Prune takes float model", "gives int8", CHAIN_FIX)),
    "export in the middle": (base(MODEL, "ExportOnnx", "Train"), (), 2, ("ExportOnnx gives artifact", CHAIN_FIX)),
    "model in the middle": (base(MODEL, "Train", MODEL), (), 2, ("MobileNetV3 takes nothing", CHAIN_FIX)),
    "unknown model": (base("MobilNetV3"), (), 2, ("recipes.base: unknown stage", "'MobileNetV3'?", "ResNet18")),
    "unknown stage": (base(MODEL, "Trian"), (), 2, ("recipes.base: unknown stage 'Trian'", "did you mean 'Train'?")),
    "unknown data": (at("data", "digit"), (), 2, ("study.yaml.data: unknown data 'digit'", "'digits'?")),
    "unknown runtime": (at("runtimes", ["onnxruntim"]), (), 2, ("runtimes: unknown", "'onnxruntime'?")),
    "unknown format": (at("exports", ["ExportOnx"]), (), 2, ("exports: unknown", "'ExportOnnx'?")),
    "unknown study": (right, ("show", "quickstrat"), 2, ("no study is called 'quickstrat'", "'quickstart'?")),
    "unknown verb": (right, ("rum",), 2, ("No such command 'rum'", BOX)),
    "after unknown": (at("recipes.int8", [{"after": "bse"}, "Train"]), (), 2, ("'bse'", "did you mean 'base'?")),
    "after a later one": (base({"after": "int8"}, "Train"), (), 2, ("'base' uses 'int8'", "move 'int8' above")),
    "teacher unknown": (int8({"Distill": {"teacher": "bas"}}), (), 2, ("'bas'", "did you mean 'base'?")),
    "teacher missing": (int8("Distill"), (), 2, ("recipes.int8.Distill.teacher: is missing",)),
    "own teacher": (int8({"Distill": {"teacher": "int8"}}), (), 2, ("'int8' uses 'int8'", "fix: move")),
    "teacher without a model": (
        lambda data, _: {
            **data,
            "recipes": {"base": [MODEL, "ExportOnnx"], "student": [MODEL, {"Distill": {"teacher": "base"}}]},
        },
        (),
        2,
        ("recipes.student", "'base' ends in an artifact", "fix: let 'base' end in a model"),
    ),
    "name given twice": (twice, (), 2, ("study.yaml", "'base' stands here twice", "line")),
    "reference unknown": (at("reference", "bse"), (), 2, ("'bse'", "did you mean 'base'?")),
    "reference missing": (without("reference"), (), 2, ("study.yaml.reference: is missing",)),
    "recipes empty": (at("recipes", {}), (), 2, ("there are no recipes",)),
    "recipes a list": (at("recipes", ["Train"]), (), 2, ("study.yaml.recipes", "by name")),
    "recipe empty": (base(), (), 2, ("study.yaml.recipes.base", "a list of stages")),
    "recipe without stages": (base({"after": ""}), (), 2, ("recipes.base: there are no stages", CHAIN_FIX)),
    "recipe leaves its folder": (at("recipes", {"../x": [MODEL]}), (), 2, ("recipes.../x", "pattern")),
    "two things in a stage": (base({**MODEL, **TRAIN}), (), 2, ("recipes.base", "expected a name or")),
    "format for no runtime": (at("runtimes", ["eager"]), (), 2, ("runtimes: eager runs pt2", "nothing exports")),
    "runtime for no format": (base(MODEL, "ExportPt2"), (), 2, ("recipes.base", "ExportPt2", "no runtime")),
    "format twice": (at("exports", ["ExportOnnx", {"ExportOnnx": {"opset": 20}}]), (), 2, ("exports", "twice")),
    "export that is none": (at("exports", ["Train"]), (), 2, ("exports: Train gives a float model",)),
    "nothing to export": (at("exports", []), (), 2, ("at least one export and one runtime",)),
    "not installed": (at("runtimes", ["openvino"]), (), 3, ("openvino", "pip install 'edgewright[openvino]'")),
    "not YAML": (text("name: [a"), (), 2, ("study.yaml is not valid YAML: line 1", "expected")),
    "impossible date": (text("name: 2024-99-99"), (), 2, ("study.yaml is not valid YAML",)),
    "a list": (text("- a"), (), 2, ("study.yaml: expected a mapping", "got list")),
    "an empty file": (text(""), (), 2, ("study.yaml: expected a mapping",)),
    "no file": (right, ("run", "{folder}/none.yaml", "--out", "{out}"), 2, ("none.yaml cannot be read: No such file",)),
    "a folder": (right, ("run", "{folder}", "--out", "{out}"), 2, ("no study is called", "one of: ", "quickstart")),
    "name with a slash": (at("name", "a/b"), (), 2, ("study.yaml.name", "pattern", "'a/b'")),
    "name of dots": (at("name", ".."), (), 2, ("study.yaml.name", "pattern", "'..'")),
    "no images folder": (at("data", "folder:/nowhere"), (), 2, ("/nowhere is not a folder", "one subfolder")),
    "one class": (photographs(a={"1.png": None}), (), 2, ("photographs has 1 class", "two classes")),
    "no images": (photographs(a={}, b={"1.png": None}), (), 2, ("photographs/a has no images", ".png")),
    "not an image": (photographs(a={"1.png": b"x"}, b={}), (), 2, ("photographs/b has no images",)),
    "undecodable image": (
        photographs(a={"1.png": b"x"}, b={"1.png": None}),
        (),
        2,
        ("1 image file below", "cannot be decoded", "a/1.png", "data check"),
    ),
    "classes that differ": (
        divided(train=["a", "b"], test=["a", "c"]),
        (),
        2,
        ("photographs/train/b is a class", "same class folders"),
    ),
    "missing data set": (at("data", "imagenet"), (), 2, ("imagenet_val", "fix:")),
    "wrong checksum": (damaged_mnist, (), 2, ("ubyte.gz", "fix:")),
    "arrays missing": (arrays(x_train=np.zeros((4, 8, 8), np.uint8)), (), 2, ("arrays.npz", "y_train")),
    "weights of another network": (foreign_weights, (), 3, ("other.pth", "missing: ", "unexpected: 0.bias", "fix:")),
    "no such weights": (base({"MobileNetV3": {"weights": "no.pth"}}), (), 2, ("no.pth", "fix:")),
    "weights nobody published": (base({"LeNet": {"weights": "imagenet"}}), (), 2, ("LeNet", "published")),
    "weights for no recipe": (right, ("--weights", "bse=x.pth"), 2, ("bse", "did you mean 'base'?")),
    "augmented features": (base(MODEL, {"Transfer": {"head": {"augment": "flip"}}}), (), 2, ("computed once",)),
    "unknown change": (base(MODEL, {"Train": {"augment": ["flp"]}}), (), 2, ("Train.augment", "cutout")),
    "too few images": (photographs(a={"1.png": None}, b={"1.png": None}), (), 2, ("too few", "add images")),
    "text after digits": (at("data", "digits:8"), (), 2, ("data digits takes nothing after a colon", "'8'")),
    "no such device": (right, ("--device", "nonsense"), 3, ("device 'nonsense' cannot be used", "use --device cpu")),
    "no threads": (right, ("--threads", "0"), 2, (BOX, "--threads")),
    "seed in the option": (right, ("--seed", "-1"), 2, (BOX, "--seed")),
    "unknown option": (right, ("--thread", "1"), 2, (BOX, "--thread")),
    "out is a file": (right, ("--out", "{file}"), 2, ("study.yaml is not a folder", "another --out")),
    "out is below a file": (right, ("--out", "{file}/deep"), 2, ("is not a folder", "another --out")),
    "loss becomes NaN": (base(MODEL, {"Train": {"lr": 1e30}}), (), 4, ("base · Train: the loss became", "lower lr")),
    "compare nothing": (right, ("compare", "{folder}", "{folder}"), 2, ("results.json is missing", "run the study")),
    "compare unlike machines": (unlike_runs, ("compare", "{folder}/one", "{folder}/other"), 2, ("--force", "one CPU")),
    "report on nothing": (right, ("report", "{folder}/none"), 2, ("none", "run the study first")),
    "newer results": (given("results.json", {"schema_version": 99}), ("report", "{folder}"), 3, ("99", "upgrade")),
    "damaged results": (given("results.json", {"schema_version": 2}), ("report", "{folder}"), 2, ("damaged", "again")),
    "earlier results": (
        given("results.json", {"schema_version": 1}),
        ("report", "{folder}"),
        2,
        ("no longer", "again"),
    ),
    "verify nothing": (right, ("verify", "{folder}"), 2, ("nothing to verify", "manifest.json")),
    "newer artifact": (given("manifest.json", {"schema_version": 99}), ("verify", "{folder}"), 3, ("99", "upgrade")),
}
TABLE = [pytest.param(*mistake, id=name) for name, mistake in MISTAKES.items()]
CUDA: tuple[Any, ...] = (right, ("--device", "cuda"), 3, ("device 'cuda' cannot be used", "--device cpu"))


@pytest.mark.parametrize(("edit", "more", "code", "named"), [*TABLE, pytest.param(*CUDA, id="no GPU", marks=NO_GPU)])
def test_mistake(
    edit: Edit,
    more: tuple[str, ...],
    code: int,
    named: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    importable = plugin._importable
    monkeypatch.setattr(plugin, "_importable", lambda name: name != "openvino" and importable(name))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEWRIGHT_DATA", str(tmp_path))
    file, out = written(tmp_path, edit(study(), tmp_path)), tmp_path / "out"
    command = more if more and not more[0].startswith("--") else (*RUN, *more)
    said = edgewright(*(part.format(file=file, out=out, folder=tmp_path) for part in command))
    assert said.exit_code == code, said.stderr
    assert isinstance(said.exception, SystemExit)
    assert said.stdout == ""
    words = [line for line in said.stderr.splitlines() if line and not line.startswith("[")]
    assert BOX in named or (len(words) <= 6 and words[0].startswith("error: "))
    assert "Traceback" not in said.stderr
    assert [name for name in named if name not in said.stderr] == []
    left = {path.name for path in out.iterdir()} if out.exists() else set()
    assert left <= {".lock", ".store"}
    assert not (tmp_path / "exported").exists()


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(b"name: \xff\xfe")
    said = edgewright("run", tmp_path / "study.yaml", "--out", tmp_path / "out")
    assert said.exit_code == 2
    assert "study.yaml is not valid YAML" in said.stderr
