"""What somebody brought to be optimized: a family of ours, a factory, or an ONNX file; and how its images are made."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.artifact import MANIFEST, read_manifest
from pipeline.aside import Aside
from pipeline.bench import Candidate, attempt
from pipeline.errors import UsageError
from pipeline.factory import called, is_factory, write_network
from pipeline.models.architecture import Architecture
from pipeline.models.pretrained import IMAGENET, PUBLISHED
from pipeline.plugin import build, did_you_mean, discover
from pipeline.quantize_file import Wanted, spec_of
from pipeline.quantizers.onnx_given import GivenOnnx
from pipeline.quantizers.onnx_read import read_float
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.spec import InputSpec, Interpolation, Positive, Value
from pipeline.stage import Stage
from pipeline.stranger import Stranger, looked_at

SHAPE = (3, 224, 224)
GREY = ((0.449,), (0.226,))  # the mean of ImageNet's channels
PREPROCESS, LABELS = "preprocess.json", "labels.txt"
FIELDS = ("size", "resize", "color", "mean", "std", "interpolation")


class Pixels(Value):
    """How an image becomes the network's input, as far as somebody said.

    Attributes:
        shape: (channels, height, width).
        resize: shorter edge before the crop, in pixels.
        mean, std: one value a channel, in units of the 0…1 image.
    """

    shape: tuple[Positive, Positive, Positive] | None = None
    resize: Positive | None = None
    interpolation: Interpolation | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def over(self, spec: InputSpec) -> InputSpec:
        """What was said, and of the rest what ``spec`` says.

        Raises:
            UsageError: it does not fit.
        """
        said = {name: getattr(self, name) for name in ("resize", "interpolation", "mean", "std")}
        return build(InputSpec, {**spec.model_dump(), **{k: v for k, v in said.items() if v}}, "preprocessing")


@dataclass(frozen=True)
class Given:
    """A network, ready to be the first recipe of a study.

    Attributes:
        stage: makes it.
        spec: how its images are made.
        outputs: how many classes it tells apart; 0 for as many as the data has.
        classes: their names in order, where they are known.
        notes: what a reader of the report should know, in sentences.
    """

    stage: Stage
    spec: InputSpec
    outputs: int
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def walkable(self) -> bool:
        """Whether the network itself is at hand, and not only its file."""
        return isinstance(self.stage, Architecture)


def given(model: str, pixels: Pixels, weights: str, convert: bool, folder: Path) -> Given:
    """What a user's word means.

    Args:
        model: a family's name, ``package.module:function``, or an ONNX file or its artifact's folder.
        weights: of a family.
        convert: raise an operator set that is too old.
        folder: where a factory's network is written, as ONNX.

    Raises:
        UsageError, UnavailableError: it cannot be used; says why.
    """
    if is_factory(model):
        made = called(model)
        if isinstance(made, Architecture):
            return _family(made, pixels, weights)
        _no_weights(weights, model)
        path = folder / f"{model.partition(':')[2]}.onnx"
        write_network(made, pixels.shape or SHAPE, path, model)
        note = f"{model} gave a network that only its own code can rebuild: it was exported to ONNX once"
        found = _file(path, pixels, convert)
        return replace(found, notes=(note, *found.notes))
    path = Path(model).expanduser()
    if path.suffix == ".onnx" or path.exists():
        _no_weights(weights, model)
        return _file(path, pixels, convert)
    return _family(_named(model), pixels, weights)


def _no_weights(weights: str, model: str) -> None:
    if weights:
        raise UsageError(f"{model} has its own weights", "leave --weights out; it is for families of ours")


def _named(model: str) -> Architecture:
    """A family of ours by its name, however it is spelled."""
    families = {kind: plugin for kind, plugin in discover("stage").items() if issubclass(plugin, Architecture)}
    plain = {_plain(kind): kind for kind in families}
    if _plain(model) not in plain:
        cause = f"{model} is no file, no package.module:function and no family{did_you_mean(model, families)}"
        raise UsageError(cause, f"families: {', '.join(families)}")
    family = families[plain[_plain(model)]]()
    assert isinstance(family, Architecture)
    return family


def _plain(name: str) -> str:
    """
    >>> _plain("mobilenet_v2"), _plain("MobileNetV2")
    ('mobilenetv2', 'mobilenetv2')
    """
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _family(family: Architecture, pixels: Pixels, weights: str) -> Given:
    """With weights from a file, or the published ones where there are some."""
    fields = family.model_dump()
    chosen = weights or family.weights or (PUBLISHED if family.published() is not None else "")
    fields |= {"weights": chosen} | ({"mean": pixels.mean, "std": pixels.std} if pixels.mean else {})
    stage = build(type(family), fields, family.kind)
    spec = pixels.over(_usual(pixels.shape or SHAPE))
    return Given(stage, stage.input(spec), stage.outputs(spec))


def _usual(shape: tuple[int, ...]) -> InputSpec:
    """As networks are fed that were trained on ImageNet."""
    channels, height, width = shape
    mean, std = IMAGENET if channels == 3 else GREY
    edge, color = round(max(height, width) * 8 / 7), "RGB" if channels == 3 else "L"
    fields = {"size": (height, width), "resize": edge, "color": color, "mean": mean, "std": std}
    return build(InputSpec, fields, "preprocessing")


def _file(path: Path, pixels: Pixels, convert: bool) -> Given:
    """A float ONNX file; what lies beside it may say how its images are made."""
    path = path / read_manifest(path / MANIFEST).file if (path / MANIFEST).is_file() else path
    read_float(path, convert)
    with Aside() as aside:
        stranger = looked_at(path, aside, pixels.shape)
        usual, classes = beside(path)
        known = usual or _usual(stranger.shape)
        spec = pixels.over(known.model_copy(update={"size": stranger.shape[1:]}))
        spec_of(stranger, Wanted(mean=spec.mean, std=spec.std))
        outputs = aside.do(outputs_of, stranger)
    if classes and len(classes) != outputs:
        raise UsageError(f"{path} tells {outputs:,} classes apart; beside it {len(classes):,} are named")
    return Given(GivenOnnx(file=str(path), convert=convert), spec, outputs, classes, _notes(usual, pixels, spec))


def outputs_of(stranger: Stranger) -> int:
    """In the process aside: how many numbers the file gives for an image.

    Raises:
        UsageError: it does not answer with a row of numbers.
    """
    candidate = Candidate(stranger, OnnxRuntime(), 1, 1)
    attempt(candidate)
    return int(OnnxRuntime().open(stranger.artifact, 1)(stranger.noise(1)).shape[1])


def beside(path: Path) -> tuple[InputSpec | None, tuple[str, ...]]:
    """What an artifact's manifest or a bundle's description beside a file says of its input and classes."""
    folder = path.parent
    if (folder / MANIFEST).is_file() and (manifest := read_manifest(folder / MANIFEST)).file == path.name:
        return manifest.input, manifest.classes
    if not (folder / PREPROCESS).is_file():
        return None, ()
    try:
        said: dict[str, Any] = json.loads((folder / PREPROCESS).read_text(encoding="utf-8"))
        spec = build(InputSpec, {name: said[name] for name in FIELDS}, str(folder / PREPROCESS))
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{folder / PREPROCESS} is damaged", "remove it, and say the preprocessing yourself") from None
    return spec, named_in(folder / LABELS) if (folder / LABELS).is_file() else ()


def named_in(path: Path) -> tuple[str, ...]:
    """Names of classes, one a line.

    Raises:
        UsageError: the file cannot be read, or names none.
    """
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "give a text file with one class a line") from None
    if not names:
        raise UsageError(f"{path} names no class", "write one class a line, in the order of the network's outputs")
    return names


def _notes(usual: InputSpec | None, pixels: Pixels, spec: InputSpec) -> tuple[str, ...]:
    if usual or (pixels.mean and pixels.std):
        return ()
    mean, std = (" ".join(f"{value:g}" for value in values) for values in (spec.mean, spec.std))
    assumed = f"nobody said how the images are normalized: mean {mean} and std {std} were assumed"
    return (f"{assumed}; --mean and --std say otherwise",)
