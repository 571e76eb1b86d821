"""A study by name or file, with ``--set key=value`` applied to its YAML view."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline import studies
from pipeline.dataset import read_source
from pipeline.errors import UsageError
from pipeline.plugin import build, did_you_mean
from pipeline.study import Benchmark, Study, parse_yaml, read_study

if TYPE_CHECKING:
    from pipeline.quantize_file import Wanted

# What a study need not have, and --set may reach into all the same.
OPTIONAL = ("budget", "benchmark")
# MLPerf Inference's single-stream scenario (Reddi et al., 2020). More calls a round: files are opened less often.
SINGLE_STREAM = {"least_calls": 1024, "least_seconds": 60.0, "calls": 64}


def resolve(study: str, settings: Sequence[str] = (), seed: int | None = None, weights: Sequence[str] = ()) -> Study:
    """The study that a command line means.

    Args:
        study: a built-in name, or the path of a YAML file.
        settings: ``key=value`` with dots between keys, e.g. ``recipes.resnet18.Train.epochs=3``.
        weights: ``FILE`` for the reference recipe's model, or ``RECIPE=FILE``.

    Raises:
        UsageError: no such study, file or key; suggests what was probably meant.
    """
    data = study_data(study)
    for setting in settings:
        apply_setting(data, setting)
    for text in weights:
        apply_weights(data, text)
    if seed is not None:
        data["seed"] = seed
    return read_study(data, study)


def study_data(study: str) -> Any:
    """The YAML view of a built-in study or a file."""
    path = Path(study)
    if study in studies.names():
        return studies.built_in(study).written()
    if path.suffix in (".yaml", ".yml") or path.is_file():
        data = parse_yaml(path)
        if not isinstance(data, dict):
            raise UsageError(f"{study}: expected a mapping with name, data and recipes, got {type(data).__name__}")
        return data
    raise UsageError(
        f"no study is called {study!r}{did_you_mean(study, studies.names())}",
        f"one of: {', '.join(studies.names())}; or a YAML file (`edgewright show quickstart > study.yaml`)",
    )


def finished_folder(study: str) -> Path:
    """The folder of a finished run: a path, or where the study of that name or file delivers."""
    path = Path(study)
    if path.suffix in (".yaml", ".yml"):
        return Path("exported") / str(study_data(study).get("name"))
    return path if path.exists() else Path("exported") / study


def apply_setting(data: Any, setting: str) -> None:
    """Change one value of a study's YAML view, in place."""
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise UsageError(f"--set {setting}: expected key=value", "for example: --set benchmark.rounds=20")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise UsageError(f"--set {setting}: {text!r} is not a YAML value") from None
    *path, last = _without_data_kind(data, key.split("."))
    if path and path[0] in OPTIONAL:
        data.setdefault(path[0], {})
    for part in path:
        data = _inside(data, part, setting)
    if not isinstance(data, dict):
        raise UsageError(f"--set {setting}: there is nothing to set at {key!r}")
    data[last] = value


def apply_weights(data: Any, text: str) -> None:
    """Let a recipe's model family start from a file, in a study's YAML view, in place."""
    recipes = data.get("recipes") if isinstance(data, dict) else None
    if not isinstance(recipes, dict):
        raise UsageError(f"--weights {text}: the study has no recipes")
    name, equals, file = text.partition("=")
    if not equals or (name not in recipes and Path(text).exists()):
        name, file = str(data.get("reference")), text
    stages = _first_stages(recipes, name, text)
    if isinstance(stages[0], str):
        stages[0] = {stages[0]: {}}
    [(kind, fields)] = stages[0].items()
    stages[0][kind] = {**(fields or {}), "weights": file}


def _first_stages(recipes: dict[str, Any], name: str, text: str) -> Any:
    """The stages of a recipe, or of the one that it comes after, up to where the family stands."""
    for _ in recipes:
        if name not in recipes:
            cause = f"--weights {text}: unknown recipe {name!r}{did_you_mean(name, recipes)}"
            raise UsageError(cause, _known([*recipes]))
        stages = recipes[name]
        first = stages[0] if isinstance(stages, list) and stages else None
        if isinstance(first, dict) and "after" in first:
            name = str(first["after"])
        elif isinstance(first, str) or _is_stage(first):
            return stages
        else:
            break
    raise UsageError(f"--weights {text}: recipe {name!r} does not begin with a model family")


def _is_stage(item: Any) -> bool:
    """One name, with its fields or with none."""
    return isinstance(item, dict) and len(item) == 1 and all(isinstance(one or {}, dict) for one in item.values())


def _without_data_kind(data: Any, parts: list[str]) -> list[str]:
    """``data.digits.size`` as ``data.size``: a study has one data set, so its name may be left out."""
    chosen = data.get("data") if isinstance(data, dict) else None
    kind = next(iter(chosen), "") if isinstance(chosen, dict) else chosen
    return [parts[0], *parts[2:]] if parts[0] == "data" and len(parts) > 2 and parts[1] == kind else parts


def _inside(data: Any, part: str, setting: str) -> Any:
    """The child called ``part``: a key, or the stage or runtime of that name in a list."""
    if isinstance(data, list):
        return _in_list(data, part, setting)
    known = list(data) if isinstance(data, dict) else []
    if part not in known:
        raise UsageError(f"--set {setting}: unknown key {part!r}{did_you_mean(part, known)}", _known(known))
    if part == "data" and not isinstance(data[part], list):
        return _source_fields(data, setting)
    return data[part]


def _source_fields(data: Any, setting: str) -> Any:
    """The fields of a study's data, which may be written ``kind``, ``kind:text`` or ``{kind: fields}``."""
    written = data["data"]
    if isinstance(written, str) and ":" in written:
        written = read_source(written, f"--set {setting}").written()
    if isinstance(written, str):
        written = {written: {}}
    if not isinstance(written, dict) or len(written) != 1:
        return None
    data["data"] = {kind: {} if fields is None else fields for kind, fields in written.items()}
    return next(iter(data["data"].values()))


def _in_list(items: list[Any], part: str, setting: str) -> Any:
    for index, item in enumerate(items):
        if part == item or (isinstance(item, dict) and part in item and item[part] is None):
            items[index] = {part: {}}
        if isinstance(items[index], dict) and part in items[index]:
            return items[index][part]
    names = [name for item in items for name in (item if isinstance(item, dict) else [item])]
    raise UsageError(f"--set {setting}: unknown key {part!r}{did_you_mean(part, names)}", _known(names))


def _known(names: list[Any]) -> str:
    return f"one of: {', '.join(map(str, names))}" if names else ""


def benchmark_of(*, sweep_threads: str, sweep_batches: str, single_stream: bool, **fields: Any) -> Benchmark:
    """The benchmark that options of the command line mean.

    Raises:
        UsageError: a number is missing or out of range.
    """
    rule = SINGLE_STREAM if single_stream else {}
    sweeps = {"sweep_threads": _numbers(sweep_threads), "sweep_batches": _numbers(sweep_batches)}
    return build(Benchmark, {**fields, **sweeps, **rule}, "bench")


def wanted_int8(*, mean: str, std: str, shape: str | None, **fields: Any) -> Wanted:
    """How options of the command line mean that a file is quantized.

    Raises:
        UsageError: a value is no number, or not one of those that can be chosen.
    """
    from pipeline.quantize_file import Wanted

    values = {"mean": tuple(mean.split(",")), "std": tuple(std.split(","))}
    return build(Wanted, {**fields, **values, "shape": image_shape(shape)}, "quantize")


def image_shape(text: str | None) -> tuple[int, int, int] | None:
    """(channels, height, width) from "3x224x224".

    Raises:
        UsageError: it is not three numbers.
    """
    if text is None:
        return None
    numbers = [int(part) for part in re.split("[x×]", text) if part.isdigit() and int(part) > 0]
    if len(numbers) != len(re.split("[x×]", text)) or len(numbers) != 3:
        raise UsageError(f"--input {text}: expected channels x height x width", "for example: --input 3x224x224")
    return numbers[0], numbers[1], numbers[2]


def _numbers(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split(",") if part)
