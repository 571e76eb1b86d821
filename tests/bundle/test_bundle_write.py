"""What stands in a bundle."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_kit import Made, variant

from pipeline.artifact import Artifact
from pipeline.bundle.verify import verify_folder
from pipeline.bundle.write import GOLDEN_BYTES, golden_images, write_bundle
from pipeline.errors import DataError, ResourceError, UsageError
from pipeline.results import Latency

FILES = {
    "README.md",
    "SHA256SUMS",
    "classify.py",
    "golden/expected.json",
    "golden/inputs.npz",
    "labels.txt",
    "model.onnx",
    "preprocess.json",
}


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def rewrite(made: Made, folder: Path, **changes: Any) -> None:
    write_bundle(folder, made.artifact, made.data.raw_test, made.session, variant(**changes), "digits-study")


def test_holds_the_promised_files_and_no_other(made: Made) -> None:
    assert names(made.folder) == FILES


def test_model_and_labels_are_the_artifacts(made: Made) -> None:
    assert (made.folder / "model.onnx").read_bytes() == made.artifact.path.read_bytes()
    assert (made.folder / "labels.txt").read_text().splitlines() == [str(digit) for digit in range(10)]


def test_preprocessing_is_the_spec_and_what_the_file_wants(made: Made) -> None:
    data = json.loads((made.folder / "preprocess.json").read_text())
    for field, value in made.artifact.manifest.input.model_dump(mode="json").items():
        assert data[field] == value
    wanted = {"layout": "NCHW", "dtype": "float32", "input": "input", "output": "logits"}
    assert wanted.items() <= data.items()
    assert "(x / 255 - mean) / std" in data["formula"]


def test_golden_images_are_raw_and_the_answers_are_the_sessions(made: Made) -> None:
    golden = json.loads((made.folder / "golden/expected.json").read_text())
    spec = made.artifact.manifest.input
    with np.load(made.folder / "golden/inputs.npz") as images:
        assert set(images) == set(golden) == {f"image_{index}" for index in range(8)}
        for index, (name, answer) in enumerate(golden.items()):
            np.testing.assert_array_equal(images[name], made.data.raw_test[index])
            [logits_K] = made.session(spec.normalize(spec.fit(images[name])[None]))
            assert answer["logits"] == logits_K.tolist()
            assert answer["label"] == made.artifact.manifest.classes[logits_K.argmax()]
            assert answer["tolerance"] == pytest.approx(1e-3 * abs(logits_K).max())


def test_int8_has_a_wider_tolerance(made: Made, tmp_path: Path) -> None:
    manifest = made.artifact.manifest.model_copy(update={"integer": True})
    rewrite(replace(made, artifact=replace(made.artifact, manifest=manifest)), tmp_path / "int8")
    [first, *_] = json.loads((tmp_path / "int8/golden/expected.json").read_text()).values()
    assert first["tolerance"] == pytest.approx(5e-2 * np.abs(first["logits"]).max())
    assert "an int8 ONNX model" in (tmp_path / "int8/README.md").read_text()


def test_readme_tells_what_was_measured(made: Made) -> None:
    text = (made.folder / "README.md").read_text()
    for fact in (
        "91.23% (95 % interval 88.00% to 94.12%)",
        "0.321 ms (95 % interval 0.3 to 0.35); faster (1.87 times the reference's speed, 1.80 to 1.95)",
        "1.23 MB (1,234,567 bytes)",
        "98,765",
        "4,321,000",
        "450 test images",
        "Study `digits-study`, recipe `tiny`",
        "one grey channel",
        "16 × 16",
        "mean [0.3] and std [0.35]",
    ):
        assert fact in text


def test_the_reference_is_not_compared_with_itself(made: Made, tmp_path: Path) -> None:
    reference: Latency = variant().latency.model_copy(update={"verdict": "reference"})
    rewrite(made, tmp_path, latency=reference)
    text = (tmp_path / "README.md").read_text()
    assert "this is the study's reference" in text
    assert "times the reference" not in text


def test_the_systems_own_tool_accepts_the_checksums(bundle: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {line.removesuffix(": OK") for line in done.stdout.splitlines()} == FILES - {"SHA256SUMS"}


def test_the_same_inputs_give_the_same_bytes(made: Made, bundle: Path) -> None:
    before = {name: (bundle / name).read_bytes() for name in names(bundle)}
    rewrite(made, bundle)
    assert {name: (bundle / name).read_bytes() for name in names(bundle)} == before


def test_a_new_bundle_removes_what_only_the_old_one_had(made: Made, bundle: Path) -> None:
    (bundle / "golden/old.npz").write_bytes(b"old")
    (bundle / "mine.txt").write_text("a developer's own file")
    with (bundle / "SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  golden/old.npz\n")
    rewrite(made, bundle)
    assert names(bundle) == FILES | {"mine.txt"}


def test_checksums_that_point_outside_remove_nothing(made: Made, bundle: Path) -> None:
    outside = bundle.parent / "precious.txt"
    outside.write_text("keep me")
    (bundle / "SHA256SUMS").write_text(f"{'0' * 64}  ../precious.txt\n{'0' * 64}  {outside}\n")
    rewrite(made, bundle)
    assert outside.read_text() == "keep me"
    assert verify_folder(bundle)


def test_a_bundle_cut_short_does_not_verify(
    made: Made, bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pipeline.bundle import write

    real = write.write_files

    def fails_on_checksums(folder: Path, contents: Any) -> None:
        if "SHA256SUMS" in contents:
            raise ResourceError("no space left")
        real(folder, contents)

    monkeypatch.setattr(write, "write_files", fails_on_checksums)
    for folder in (bundle, tmp_path / "fresh"):
        with pytest.raises(ResourceError):
            rewrite(made, folder, params=1)
        with pytest.raises(Exception, match=r"README.md is not the file|SHA256SUMS is missing"):
            verify_folder(folder)


def test_only_onnx_makes_a_bundle(made: Made, tmp_path: Path) -> None:
    manifest = made.artifact.manifest.model_copy(update={"format": "pt2"})
    other = replace(made, artifact=Artifact(made.artifact.folder, manifest))
    with pytest.raises(UsageError, match="onnx artifact, not pt2"):
        rewrite(other, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_no_image_is_an_error() -> None:
    with pytest.raises(DataError, match="golden"):
        golden_images([])


def test_photographs_are_taken_while_they_fit() -> None:
    huge, small = np.zeros((1, GOLDEN_BYTES // 3, 3), np.uint8), np.zeros((4, 4, 3), np.uint8)
    assert len(golden_images([huge, huge, huge])) == 1
    assert len(golden_images([small] * 20)) == 8


def test_labels_stay_on_one_line(made: Made, tmp_path: Path) -> None:
    classes = ("new\nline", *made.artifact.manifest.classes[1:])
    manifest = made.artifact.manifest.model_copy(update={"classes": classes})
    rewrite(replace(made, artifact=replace(made.artifact, manifest=manifest)), tmp_path)
    assert (tmp_path / "labels.txt").read_text().split("\n")[:2] == ["new line", "1"]
