"""The studies these tests run, and what a run of them leaves."""

from __future__ import annotations

import copy
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from pipeline.files import TEMPORARY
from pipeline.model import WEIGHTS
from pipeline.results import read_results
from pipeline.store import FOLDER, Entry, Store

BASE = [{"MobileNetV3": {"width": 0.25, "stem_stride": 1}}, {"Train": {"epochs": 2, "batch": 256}}]
PRUNED = [{"after": "base"}, {"Prune": {"ratio": 0.5}}, {"Train": {"epochs": 1, "batch": 256}}]
QUICK: dict[str, Any] = {
    "name": "quick",
    "data": {"digits": {"size": 8}},
    "reference": "base",
    "recipes": {"base": BASE, "pruned": PRUNED},
    "exports": ["ExportTorchScript"],
    "runtimes": ["torchscript"],
    "budget": {"max_drop": 1.0},
    "benchmark": {"sittings": 4, "rounds": 2, "calls": 1, "seconds": 5.0, "cold_starts": 0, "threads": 1},
}
SMALL: dict[str, Any] = {
    **QUICK,
    "name": "small",
    "recipes": {**QUICK["recipes"], "int8": [{"after": "pruned"}, "PostTraining"]},
    "exports": ["ExportOnnx", "ExportTorchScript"],
    "runtimes": ["onnxruntime", "torchscript"],
}


def changed(study: dict[str, Any], *path: str | int, to: object) -> dict[str, Any]:
    """The study with the value at the end of ``path`` replaced."""
    result = copy.deepcopy(study)
    inside: Any = result
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = to
    return result


def written(path: Path, study: dict[str, Any]) -> Path:
    """The study as a YAML file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


@dataclass(frozen=True)
class Finished:
    """An undisturbed run.

    Attributes:
        seconds: from its start to its end.
    """

    study: Path
    out: Path
    seconds: float

    def copy(self, folder: Path) -> Path:
        """A copy of the output folder, to harm."""
        return Path(shutil.copytree(self.out, folder))


def entries(out: Path) -> dict[str, Entry]:
    """Every finished stage by its key, each of its files verified."""
    store = Store(out / FOLDER)
    names = [path.name for path in store.root.iterdir()] if store.root.is_dir() else []
    keys = [name for name in names if name != "unfinished" and not name.startswith(TEMPORARY)]
    found = {key: store.get(key) for key in keys}
    return {key: entry for key, entry in found.items() if entry is not None}


def weights(out: Path) -> dict[str, str]:
    """sha256 of the weights of every model in the store, by key."""
    files = {key: entry.folder / WEIGHTS for key, entry in entries(out).items()}
    return {key: sha256(file.read_bytes()).hexdigest() for key, file in files.items() if file.exists()}


def delivered(out: Path) -> dict[str, Path]:
    """Every file that a run hands over, by its name in the output folder."""
    files = {path.relative_to(out): path for path in out.rglob("*") if path.is_file()}
    hidden = {name for name in files if any(part.startswith(".") for part in name.parts)}
    return {name.as_posix(): path for name, path in files.items() if name not in hidden}


def artifact_bytes(out: Path) -> dict[str, bytes]:
    """The delivered files that are the same however often they are delivered."""
    files = delivered(out).items()
    return {name: path.read_bytes() for name, path in files if name.startswith(("models/", "bundle/"))}


def temporaries(out: Path) -> list[Path]:
    return list(out.rglob(f"{TEMPORARY}*"))


def done(out: Path) -> list[str]:
    """The stages that the last run did not find in the store."""
    return [record.label for record in read_results(out).stages if record.status == "done"]


def stored(out: Path, name: str) -> Path:
    """The file of that name in the store that is made again soonest."""
    told = {record.key for record in read_results(out).stages}
    holders = [entry for key, entry in entries(out).items() if key in told and (entry.folder / name).is_file()]
    if name != "model.onnx":  # exporting it takes longest
        holders = [entry for entry in holders if not (entry.folder / "model.onnx").exists()]
    return min(holders, key=lambda entry: entry.seconds).folder / name
