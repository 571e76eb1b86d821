"""What somebody wishes of ``edgewright optimize``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from pipeline.errors import UsageError
from pipeline.given import Pixels
from pipeline.plugin import build
from pipeline.settings import image_shape
from pipeline.spec import Positive, Ratio, Value


class Wishes(Value):
    """What is wanted, and what nobody can know of the network.

    Attributes:
        max_drop: top-1 that may be lost on validation images, as a fraction of 1.
        train: also what takes training: pruning, distillation, int8 in training. Wants labels, and a family of ours.
        weights: of a family: a file, or "imagenet".
        pixels: how images become the network's input.
        classes: a file that names the network's outputs, one a line and in order; "" for class folders' order.
        convert: raise an ONNX operator set that is too old.
        skip_unreadable: leave out images that cannot be decoded; else they are an error.
        seconds: for timing all variants.
        threads: of the runtime.
        seed: everything random follows from it.
        settings: ``key=value``, changes of the study that comes of all this.
    """

    max_drop: Ratio = 0.01
    train: bool = False
    weights: str = ""
    pixels: Pixels = Pixels()
    classes: str = ""
    convert: bool = False
    skip_unreadable: bool = False
    seconds: Annotated[float, Field(gt=0)] = 30.0
    threads: Positive = 1
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    settings: tuple[str, ...] = ()


def wishes_of(*, max_drop: str, classes: Path | None, **fields: Any) -> Wishes:
    """What options of the command line wish for; those that were not given are None.

    Raises:
        UsageError: a value is no number, or not one of those that can be chosen.
    """
    own = {name: fields.pop(name) for name in ("shape", "resize", "interpolation", "mean", "std")}
    own["shape"] = image_shape(own["shape"])
    own |= {name: tuple(own[name].split(",")) for name in ("mean", "std") if own[name]}
    if bool(own["mean"]) != bool(own["std"]):
        raise UsageError("--mean and --std go together", "give both, one value a channel each")
    pixels = build(Pixels, _said(own), "optimize")
    weights = (fields.pop("weights") or [""])[-1]
    said = _said(fields) | {"max_drop": drop_of(max_drop), "classes": str(classes or ""), "weights": weights}
    return build(Wishes, {**said, "pixels": pixels}, "optimize")


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def drop_of(text: str) -> float:
    """A drop of top-1 as a fraction of 1, from "1%", "0.5 %" or "0.01".

    Raises:
        UsageError: it is none.

    >>> drop_of("1%"), drop_of("0.005")
    (0.01, 0.005)
    """
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        return Wishes(max_drop=float(number) / (100 if percent else 1)).max_drop
    except (ValueError, ValidationError):
        raise UsageError(f"--max-drop {text}: expected a share of the images", "for example: 1%, or 0.01") from None
