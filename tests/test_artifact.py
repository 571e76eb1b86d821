"""An artifact checks itself before anyone uses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults import flip_bit
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifact import MANIFEST, PROBE, SCHEMA_VERSION, Artifact, Draft, Manifest, Probe, read_manifest
from pipeline.errors import CorruptFile, NewerFormat
from pipeline.spec import InputSpec


def draft() -> Draft:
    manifest = Manifest(
        recipe="small-int8",
        format="onnx",
        file="model.onnx",
        integer=True,
        batch=1,
        input=InputSpec(size=(4, 4), resize=5, mean=(0.1, 0.2, 0.3)),
        classes=("cat", "dög"),
        params=12,
        macs=34,
        lineage=({"Train": {"lr": 1e-5, "version": 1}},),
        tools={"torch": "2.0"},
    )
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    return Draft(manifest, b"the model's bytes" * 9, Probe(images, np.array([[1.5, -2], [0, 1e-8]], np.float32)))


def in_parts() -> Draft:
    """A model of two files, one of them in a folder, and a note for people."""
    made = draft()
    manifest = made.manifest.model_copy(update={"file": "model.param", "parts": ("data/model.bin",)})
    return replace(made, manifest=manifest, beside={"data/model.bin": b"weights" * 5, "notes.txt": b"of no use"})


@pytest.mark.parametrize(
    ("stages", "expected"),
    [
        ([], False),
        (["Prune"], False),
        ([{"PostTraining": {"portable": False}}], False),
        ([{"Train": None}, {"PostTraining": {"portable": True, "rounding": "nearest"}}, {"ExportOnnx": {}}], True),
    ],
)
def test_is_portable_as_its_quantizer_was_told(stages: list[Any], expected: bool) -> None:
    lineage = [stage if isinstance(stage, dict) else {stage: {}} for stage in stages]
    manifest = Manifest.model_validate({**draft().manifest.model_dump(), "lineage": lineage})
    assert manifest.portable == expected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draft().save(tmp_path)
    return tmp_path


def test_round_trip(folder: Path) -> None:
    artifact, made = Artifact.load(folder), draft()
    assert artifact.manifest.model_copy(update={"sha256": {}, "seal": ""}) == made.manifest
    assert artifact.path.read_bytes() == made.content
    assert artifact.bytes == len(made.content)
    probe = artifact.probe()
    assert np.array_equal(probe.fitted_NHWC, made.probe.fitted_NHWC)
    assert np.array_equal(probe.logits_NK, made.probe.logits_NK)
    assert (probe.fitted_NHWC.dtype, probe.logits_NK.dtype) == (np.uint8, np.float32)


def test_a_model_of_several_files_is_their_sum_without_the_notes(tmp_path: Path) -> None:
    in_parts().save(tmp_path)
    artifact = Artifact.load(tmp_path)
    assert artifact.files == (tmp_path / "model.param", tmp_path / "data" / "model.bin")
    assert artifact.bytes == len(in_parts().content) + 35
    assert artifact.manifest.sha256.keys() == {"model.param", "data/model.bin", "notes.txt", PROBE}


def test_a_manifest_of_one_file_says_nothing_of_parts(folder: Path) -> None:
    """So that manifests which are older than parts are read as they were written."""
    assert "parts" not in json.loads((folder / MANIFEST).read_text())
    assert Artifact.load(folder).files == (folder / "model.onnx",)


@pytest.mark.parametrize("name", ["model.param", "data/model.bin", "notes.txt"])
def test_every_file_of_several_is_vouched_for(tmp_path: Path, name: str) -> None:
    in_parts().save(tmp_path)
    flip_bit(tmp_path / name, 3)
    with pytest.raises(CorruptFile, match=name):
        Artifact.load(tmp_path)


def test_may_be_moved(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    moved = folder.rename(tmp_path_factory.mktemp("elsewhere") / "moved")
    assert Artifact.load(moved).path == moved / "model.onnx"


@given(name=st.sampled_from(["model.onnx", PROBE, MANIFEST]), position=st.integers(0, 10**6))
def test_one_flipped_bit_is_found_and_named(tmp_path_factory: pytest.TempPathFactory, name: str, position: int) -> None:
    folder = tmp_path_factory.mktemp("artifact")
    draft().save(folder)
    flip_bit(folder / name, position)
    with pytest.raises(CorruptFile, match=name):
        Artifact.load(folder)


@pytest.mark.parametrize("name", ["model.onnx", PROBE, MANIFEST])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CorruptFile, match=name):
        Artifact.load(folder)


def test_a_later_schema_is_told_apart_from_damage(folder: Path) -> None:
    rewrite(folder, lambda data: {**data, "schema_version": SCHEMA_VERSION + 1, "unheard_of": 1})
    with pytest.raises(NewerFormat, match=f"{SCHEMA_VERSION + 1}") as caught:
        Artifact.load(folder)
    assert "upgrade" in caught.value.fix
    assert caught.value.exit_code == 3


def rewrite(folder: Path, change: Callable[[Any], Any]) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


DAMAGES: dict[str, Callable[[Any], Any]] = {
    "a list": lambda data: [data],
    "nothing": lambda data: None,
    "no version": lambda data: {k: v for k, v in data.items() if k != "schema_version"},
    "no seal": lambda data: {k: v for k, v in data.items() if k != "seal"},
    "no classes": lambda data: {k: v for k, v in data.items() if k != "classes"},
    "other classes": lambda data: {**data, "classes": ["dog", "cat"]},
    "other mean": lambda data: {**data, "input": {**data["input"], "mean": [0, 0, 0]}},
    "an extra key": lambda data: {**data, "more": 1},
    "not a number": lambda data: {**data, "params": float("nan")},
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_manifest_is_refused(folder: Path, name: str) -> None:
    rewrite(folder, DAMAGES[name])
    with pytest.raises(CorruptFile, match=MANIFEST):
        read_manifest(folder / MANIFEST)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"3"])
def test_what_is_no_manifest_is_refused(folder: Path, content: bytes) -> None:
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(CorruptFile, match=MANIFEST):
        Artifact.load(folder)
