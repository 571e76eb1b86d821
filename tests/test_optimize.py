"""``edgewright optimize``: networks and photographs that nobody here has seen, and what is refused with a reason."""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file
from tiny import randomized
from tiny_run import edgewright
from torch import nn

from pipeline import Wishes, optimize, read_results, verify
from pipeline.errors import DataError, EdgewrightError, UsageError
from pipeline.given import Pixels
from pipeline.models.architecture import Network
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.optimize import STUDY, name_of
from pipeline.report.tables import markdown
from pipeline.results import Results
from pipeline.study import load_study
from pipeline.wishes import wishes_of

SHAPE = (3, 32, 32)
COLOURS = {"blue": (20, 40, 220), "green": (30, 200, 40), "red": (210, 30, 30)}
PIXELS = Pixels(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), resize=32)
QUICK = ("benchmark.sittings=4", "benchmark.rounds=1", "benchmark.calls=1", "benchmark.cold_starts=0")
FEW = Wishes(pixels=PIXELS, seconds=0.5, settings=QUICK, max_drop=0.1)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety pictures of many sizes, each mostly of its folder's colour."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for index in range(30):
            height, width = rng.integers(40, 90, 2).tolist()
            coarse = np.clip(np.array(colour) + rng.integers(-40, 41, (4, 5, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(coarse).resize((width, height)).save(folder / name / f"{index}.png")
    return folder


class Residual(nn.Module):
    """A small network of no family of ours: SiLU, a leaky ReLU, a residual and a concatenation.

    Its last layer says which of the three colours is the strongest, so that it needs no training.
    """

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.SiLU())
        self.left, self.right = nn.Conv2d(16, 8, 1), nn.Conv2d(16, 8, 3, padding=1)
        self.mix, self.act = nn.Conv2d(16, 16, 3, padding=1, groups=16), nn.LeakyReLU(0.1)
        self.colour, self.head = nn.Conv2d(3, 3, 1), nn.Linear(16 + 3, classes)
        randomized(self, 1)
        with torch.no_grad():
            self.colour.weight.copy_(torch.eye(3)[..., None, None])
            self.colour.bias.zero_()
            self.head.weight.mul_(0.02)
            self.head.bias.zero_()
            self.head.weight[:3, 16:] = torch.eye(3).flip(0)[: min(classes, 3)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.stem(x)
        features = features + self.act(self.mix(torch.cat([self.left(features), self.right(features)], 1)))
        return self.head(torch.cat([features.mean([2, 3]), self.colour(x).mean([2, 3])], 1))


def exported(path: Path, module: nn.Module, **options: Any) -> Path:
    settings = {"dynamo": False, "opset_version": 17, **options}
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(module.eval(), (torch.zeros(1, *SHAPE),), path, **settings)
    return path


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("network") / "unseen.onnx", Residual())


def done(model: str | Path, data: Path, out: Path, wishes: Wishes = FEW) -> Results:
    console = Console(file=io.StringIO(), width=200)
    return optimize(model, data, wishes, out, device="cpu", console=console)


@pytest.fixture(scope="module")
def labelled(network: Path, photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    out = tmp_path_factory.mktemp("labelled") / "out"
    return out, done(network, photographs, out)


def test_an_unseen_file_and_labelled_photographs(labelled: tuple[Path, Results]) -> None:
    out, results = labelled
    assert [(variant.recipe, variant.integer) for variant in results.variants] == [("float", False), ("int8", True)]
    assert results.labelled
    assert results.classes == ("blue", "green", "red")
    assert results.splits == {"train": 18, "validation": 36, "test": 36}
    floats, int8 = results.variants
    assert floats.top1.value > 0.9
    assert floats.params == int8.params > 0
    assert floats.macs == int8.macs > 100_000
    assert int8.parent == "float"
    assert int8.within_budget
    assert results.recommendation.variant is not None
    assert results.warnings == ()
    assert read_results(out) == results
    assert {path.name for path in out.iterdir()} >= {"report.html", "results.json", "bundle", STUDY, "SHA256SUMS"}
    verify(out)


def test_the_study_does_it_again_from_what_is_finished(labelled: tuple[Path, Results]) -> None:
    out, results = labelled
    study = load_study(out / STUDY)
    assert study.lenient
    said = edgewright("run", out / STUDY, "--out", out, "--json", "--quiet")
    assert said.exit_code == 0, said.stderr
    again = Results.model_validate(json.loads(said.stdout))
    assert {record.status for record in again.stages} == {"cached"}
    assert again.variants == results.variants


def test_without_labels_agreement_with_float_stands_in_and_is_called_so(
    network: Path, photographs: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, file in enumerate(sorted(photographs.rglob("*.png"))):
        (flat / f"{number}.png").write_bytes(file.read_bytes())
    results = done(network, flat, tmp_path / "out")
    assert not results.labelled
    assert results.variants[0].top1.value == 1.0
    assert results.variants[1].top1.value == results.variants[1].agreement
    assert "flat has no class folders; what is called top-1 is agreement" in results.warnings[0]
    assert "agreement %" in markdown(results)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "No labels are known." in page
    assert "Agreement, %" in page
    assert "agreement on the test images" in page
    if results.recommendation.variant == 1:
        assert "without labels, its answer is float's on" in results.recommendation.sentence


def test_as_many_folders_as_outputs_or_labels_are_not_used(photographs: Path, tmp_path: Path) -> None:
    path = exported(tmp_path / "seven.onnx", Residual(7))
    results = done(path, photographs, tmp_path / "out")
    assert not results.labelled
    assert len(results.classes) == 7
    assert "3 class folders, but the network tells 7 classes apart" in results.warnings[0]


def test_names_say_which_output_a_folder_is(photographs: Path, tmp_path: Path) -> None:
    names, path = tmp_path / "names.txt", exported(tmp_path / "seven.onnx", Residual(7))
    names.write_text("blue\ngreen\nred\nblack\nwhite\npink\ngrey\n")
    results = done(path, photographs, tmp_path / "out", FEW.model_copy(update={"classes": str(names)}))
    assert results.labelled
    assert results.classes[3:] == ("black", "white", "pink", "grey")
    assert results.variants[0].top1.value > 0.9
    names.write_text("green\nred\nblack\nwhite\npink\ngrey\nbrown\n")
    results = done(path, photographs, tmp_path / "out", FEW.model_copy(update={"classes": str(names)}))
    assert "the class folder blue is none of the network's 7 classes" in results.warnings[0]


def test_a_wrong_order_of_classes_is_told(photographs: Path, tmp_path: Path) -> None:
    names, path = tmp_path / "names.txt", exported(tmp_path / "net.onnx", Residual())
    names.write_text("green\nred\nblue\n")
    results = done(path, photographs, tmp_path / "out", FEW.model_copy(update={"classes": str(names)}))
    assert "the order of the classes or the preprocessing" in results.warnings[0]


def test_what_is_assumed_of_the_pixels_is_told(network: Path, photographs: Path, tmp_path: Path) -> None:
    results = done(network, photographs, tmp_path / "out", FEW.model_copy(update={"pixels": Pixels()}))
    assert "mean 0.485 0.456 0.406 and std 0.229 0.224 0.225 were assumed" in results.warnings[0]


def test_a_bundle_says_itself_how_its_images_are_made(
    labelled: tuple[Path, Results], photographs: Path, tmp_path: Path
) -> None:
    out, _ = labelled
    given = out / "models" / "float" / "onnx"
    results = done(given, photographs, tmp_path / "out", FEW.model_copy(update={"pixels": Pixels()}))
    assert results.warnings == ()
    assert results.classes == ("blue", "green", "red")


class Factory:
    """Modules that tests write, importable by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, text: str) -> str:
        (self.folder / f"{name}.py").write_text(f"import torch\nfrom torch import nn\n{text}")
        return f"{name}:make"


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return Factory(tmp_path)


def test_a_factory_of_layers_that_we_cannot_rebuild(factory: Factory, photographs: Path, tmp_path: Path) -> None:
    text = """
import timm
def make():
    torch.manual_seed(0)
    return timm.create_model("mobilenetv3_small_050", num_classes=5)
"""
    wishes = FEW.model_copy(update={"max_drop": 1.0, "pixels": PIXELS.model_copy(update={"shape": SHAPE})})
    results = done(factory("timms", text), photographs, tmp_path / "out", wishes)
    assert (tmp_path / "out" / "given" / "make.onnx").is_file()
    assert len(results.classes) == 5
    assert any("exported to ONNX once" in warning for warning in results.warnings)
    assert results.variants[0].latency.p50_ms.value > 0


def test_a_factory_may_give_a_family_of_ours(factory: Factory, photographs: Path, tmp_path: Path) -> None:
    weights = family_weights(tmp_path / "tiny.safetensors", 3)
    text = f"""
from pipeline.models.mobilenet_v2 import MobileNetV2
def make():
    return MobileNetV2(width=0.25, stem_stride=1, weights={str(weights)!r})
"""
    wishes = FEW.model_copy(update={"max_drop": 1.0, "pixels": PIXELS.model_copy(update={"shape": SHAPE})})
    results = done(factory("ours", text), photographs, tmp_path / "out", wishes)
    assert [variant.recipe for variant in results.variants] == ["float", "int8"]
    assert "MixedPrecision" in str(results.variants[1].lineage)


def family_weights(path: Path, classes: int) -> Path:
    network = Network(family=MobileNetV2(width=0.25, stem_stride=1), shape=SHAPE, classes=classes).skeleton()
    save_file({name: value.contiguous() for name, value in randomized(network, 0).state_dict().items()}, path)
    return path


BROKEN = {
    "raises": ("def make():\n    raise RuntimeError('no such checkpoint\\nsecond line')", "no such checkpoint"),
    "nothing": ("def make():\n    return 7", "gives a int, no network"),
    "wants": ("def make(depth):\n    return nn.Linear(3, 2)", "TypeError"),
    "broken": ("raise ValueError('broken on import')", "broken on import"),
    "absent": ("", "has no make"),
    "number": ("make = 3", "no function"),
    "shapes": ("def make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3, 2))", "does not take 1×3×224×224"),
    "tuples": (
        "class Two(nn.Module):\n    def forward(self, x):\n        return x, x\ndef make():\n    return Two()",
        "gives tuple",
    ),
    "images": ("def make():\n    return nn.Conv2d(3, 2, 1)", "gives a tensor of (1, 2, 224, 224)"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_factory_that_is_no_use_is_told_in_six_lines(name: str, factory: Factory, photographs: Path) -> None:
    text, told = BROKEN[name]
    said = edgewright("optimize", factory(f"broken_{name}", text), "--data", photographs, "--quiet")
    assert said.exit_code == 2
    assert told in said.stderr
    assert len(said.stderr.splitlines()) <= 6


def test_a_factory_that_is_nowhere(factory: Factory, photographs: Path) -> None:
    said = edgewright("optimize", "no_such_package.models:make", "--data", photographs, "--quiet")
    assert said.exit_code == 2
    assert "no_such_package.models cannot be imported" in said.stderr


def two_inputs(path: Path) -> Path:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in ("a", "b", "c")]
    node = helper.make_node("Add", ["a", "b"], ["c"])
    graph = helper.make_graph([node], "two", values[:2], values[2:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def halved(path: Path) -> Path:
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).half()
        torch.onnx.export(module.eval(), (torch.zeros(1, *SHAPE).half(),), path, dynamo=False, opset_version=17)
    return path


def outside(path: Path) -> Path:
    """Weights in a file that lies above the folder."""
    exported(path, Residual())
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    for value in model.graph.initializer:
        for entry in value.external_data:
            if entry.key == "location":
                entry.value = "../weights.bin"
    path.write_bytes(model.SerializeToString())
    (path.parent / "weights.bin").rename(path.parent.parent / "weights.bin")
    return path


def without_data(path: Path) -> Path:
    exported(path, Residual())
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (path.parent / "weights.bin").unlink()
    return path


def of_opset_9(path: Path) -> Path:
    weight = helper.make_tensor("w", TensorProto.FLOAT, (3, 3, 32, 32), np.full(3 * 3 * 32 * 32, 1e-3).tolist())
    nodes = [helper.make_node("Conv", ["x", "w"], ["z"]), helper.make_node("Flatten", ["z"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "old",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *SHAPE))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=5), path)
    return path


def eight_a_call(path: Path) -> Path:
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(Residual().eval(), (torch.zeros(8, *SHAPE),), path, dynamo=False, opset_version=17)
    return path


REFUSED: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "two inputs": (two_inputs, 2, "takes 2 inputs"),
    "float16": (halved, 2, "weights of float16"),
    "outside": (outside, 3, "cannot be read"),
    "missing data": (without_data, 3, "cannot be read"),
    "opset 9": (of_opset_9, 2, "--convert"),
    "eight a call": (eight_a_call, 2, "takes 8 images a call"),
    "text": (lambda path: path.write_text("this is no protobuf"), 2, "is no ONNX file"),
    "absent": (lambda path: None, 2, "is not there"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_that_cannot_be_used_are_refused_with_a_reason(name: str, photographs: Path, tmp_path: Path) -> None:
    make, code, told = REFUSED[name]
    (tmp_path / "inside").mkdir()
    make(tmp_path / "inside" / "net.onnx")
    arguments = ("--data", photographs, "--out", tmp_path / "out", "--quiet")
    said = edgewright("optimize", tmp_path / "inside" / "net.onnx", *arguments)
    assert said.exit_code == code, said.stderr
    assert told in said.stderr
    assert len(said.stderr.splitlines()) <= 6


def test_a_quantized_file_is_refused(labelled: tuple[Path, Results], photographs: Path, tmp_path: Path) -> None:
    out, _ = labelled
    with pytest.raises(UsageError, match="quantized already"):
        done(out / "models" / "int8" / "onnx" / "model.onnx", photographs, tmp_path / "out")


def test_an_old_operator_set_is_raised_when_asked(photographs: Path, tmp_path: Path) -> None:
    path = of_opset_9(tmp_path / "old.onnx")
    results = done(path, photographs, tmp_path / "out", FEW.model_copy(update={"convert": True, "max_drop": 1.0}))
    assert results.variants[0].recipe == "float"


def test_any_batch_becomes_one_and_external_data_is_taken_in(photographs: Path, tmp_path: Path) -> None:
    axes = {"input": {0: "batch"}, "logits": {0: "batch"}}
    names = {"input_names": ["input"], "output_names": ["logits"], "dynamic_axes": axes}
    path = exported(tmp_path / "any.onnx", Residual(), **names)
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="any.bin", size_threshold=0)
    results = done(path, photographs, tmp_path / "out")
    delivered = tmp_path / "out" / "models" / "float" / "onnx"
    assert {file.name for file in delivered.iterdir()} == {"model.onnx", "manifest.json", "probe.npz"}
    model = onnx.load(delivered / "model.onnx")
    assert [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim] == [1, *SHAPE]
    assert results.variants[0].top1.value > 0.9


def test_grey_networks_of_any_proportion(photographs: Path, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    path = tmp_path / "grey.onnx"
    with torch.no_grad(), warnings.catch_warnings(action="ignore"):
        torch.onnx.export(module.eval(), (torch.zeros(1, 1, 24, 40),), path, dynamo=False, opset_version=17)
    wishes = FEW.model_copy(update={"pixels": Pixels(mean=(0.5,), std=(0.5,)), "max_drop": 1.0})
    results = done(path, photographs, tmp_path / "out", wishes)
    spec = json.loads((tmp_path / "out" / "models" / "float" / "onnx" / "manifest.json").read_text())["input"]
    assert (spec["size"], spec["color"], spec["mean"]) == ([24, 40], "L", [0.5])
    assert results.variants[1].integer


def test_images_that_do_not_decode_are_named_or_left_out(network: Path, photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    for file in sorted(photographs.rglob("*.png"))[::2]:
        (folder / file.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / file.parent.name / file.name).write_bytes(file.read_bytes())
    (folder / "red" / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        done(network, folder, tmp_path / "out")
    results = done(network, folder, tmp_path / "out", FEW.model_copy(update={"skip_unreadable": True}))
    assert any("broken.png" in warning for warning in results.warnings)


@pytest.mark.parametrize("data", ["nowhere", "empty"])
def test_a_folder_without_images_is_refused(network: Path, tmp_path: Path, data: str) -> None:
    (tmp_path / "empty").mkdir()
    said = edgewright("optimize", network, "--data", tmp_path / data, "--out", tmp_path / "out", "--quiet")
    assert said.exit_code == 2
    assert data in said.stderr


def test_what_cannot_hold_the_budget_is_left_out_and_told(network: Path, photographs: Path, tmp_path: Path) -> None:
    """The float file is delivered then, and the report says what was lost."""
    impossible = (*QUICK, "recipes.int8.OnnxMixed.most=1", "recipes.int8.OnnxMixed.others=[]")
    wishes = FEW.model_copy(update={"settings": impossible, "max_drop": 0.0})
    noisy = Residual()
    with torch.no_grad():
        noisy.head.weight.mul_(torch.logspace(-4, 0, 3)[:, None])  # the least of the logits drown in rounding
    results = done(exported(tmp_path / "noisy.onnx", noisy), photographs, tmp_path / "out", wishes)
    recipes = [variant.recipe for variant in results.variants]
    assert recipes == ["float"] if results.failures else recipes == ["float", "int8"]
    assert all(failure.recipe == "int8" and not failure.format for failure in results.failures)


def test_a_family_needs_weights_or_training(photographs: Path, tmp_path: Path) -> None:
    said = edgewright("optimize", "cifar_resnet", "--data", photographs, "--out", tmp_path / "out", "--quiet")
    assert said.exit_code == 2
    assert "CifarResNet has no weights" in said.stderr
    said = edgewright("optimize", "mobilnet_v2", "--data", photographs, "--out", tmp_path / "out", "--quiet")
    assert said.exit_code == 2
    assert "did you mean 'MobileNetV2'" in said.stderr


def test_files_cannot_be_trained(network: Path, photographs: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only a family of ours can be trained"):
        done(network, photographs, tmp_path / "out", FEW.model_copy(update={"train": True}))
    with pytest.raises(UsageError, match="has its own weights"):
        done(network, photographs, tmp_path / "out", FEW.model_copy(update={"weights": "some.pth"}))


@pytest.mark.slow
def test_a_family_with_labels_is_pruned_distilled_and_trained_in_int8(photographs: Path, tmp_path: Path) -> None:
    weights = family_weights(tmp_path / "tiny.safetensors", 7)
    fields = [f"recipes.float.MobileNetV2.{field}" for field in ("width=0.25", "stem_stride=1")]
    short = [f"recipes.pruned.PruneGradually.{field}" for field in ("steps=2", "round_to=4")]
    short += ["recipes.pruned-inside.Distill.epochs=1"]
    settings = (*QUICK, *fields, *short, "recipes.float.Transfer.tune=null")
    pixels = PIXELS.model_copy(update={"shape": SHAPE})
    wishes = Wishes(train=True, weights=str(weights), pixels=pixels, max_drop=1.0, seconds=0.5, settings=settings)
    results = done("MobileNetV2", photographs, tmp_path / "out", wishes)
    variants = {variant.recipe: variant for variant in results.variants}
    pruned = ["pruned", "pruned-int8", "pruned-inside", "pruned-inside-int8"]
    assert list(variants) == ["float", "int8", "int8-aware", *pruned]
    assert all(variants[name].params < variants["float"].params for name in pruned)


def test_options_that_do_not_fit_are_refused(network: Path, photographs: Path, tmp_path: Path) -> None:
    for option in (("--max-drop", "some"), ("--mean", "0.5,0.5,0.5"), ("--resize", "8"), ("--interpolation", "best")):
        said = edgewright("optimize", network, "--data", photographs, "--out", tmp_path / "out", "--quiet", *option)
        assert said.exit_code == 2, option
        assert len(said.stderr.splitlines()) <= 6


def test_the_command_is_one_line(network: Path, photographs: Path, tmp_path: Path) -> None:
    settings = [word for setting in QUICK for word in ("--set", setting)]
    arguments = ("--max-drop", "10%", "--seconds", "0.5", "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")
    out = tmp_path / "out"
    said = edgewright("optimize", network, "--data", photographs, "--out", out, "--quiet", *arguments, *settings)
    assert said.exit_code == 0, said.stderr
    assert "report:" in said.stdout
    assert read_results(out).budget.max_drop == 0.1


def test_names_and_wishes() -> None:
    assert name_of("models/net v2.onnx") == "optimized-net-v2"
    nothing = dict.fromkeys(("shape", "resize", "interpolation", "mean", "std", "weights", "seed"))
    assert wishes_of(max_drop="2 %", classes=None, **nothing).max_drop == 0.02
    with pytest.raises(EdgewrightError, match="max-drop"):
        wishes_of(max_drop="200%", classes=None, **nothing)
