"""What stands in a bundle."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from bundle_kit import Made, shipped, variant
from PIL import Image

from pipeline.artifact import Artifact
from pipeline.bundle.card import licence
from pipeline.bundle.golden import GOLDEN_BYTES, checked_whole, golden_images, read_images
from pipeline.bundle.verify import verify_folder
from pipeline.bundle.write import write_bundle
from pipeline.errors import CorruptFile, DataError, ParityMiss, ResourceError, UsageError
from pipeline.results import Latency

FILES = {
    "MODEL_CARD.md",
    "README.md",
    "SHA256SUMS",
    "about.json",
    "classify.py",
    "examples/javascript/classifier.mjs",
    "examples/kotlin/Classifier.kt",
    "examples/swift/Classifier.swift",
    "golden/expected.json",
    "golden/fitted.npz",
    "golden/inputs.npz",
    *(f"golden/image_{number}.png" for number in range(8)),
    "labels.txt",
    "model-with-preprocessing.onnx",
    "model.onnx",
    "preprocess.json",
    "self_test.py",
}


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def rewrite(made: Made, folder: Path, **changes: Any) -> None:
    write_bundle(folder, made.artifact, made.data.raw_test, made.session, shipped(**changes))


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


def test_golden_images_are_the_same_as_png_and_in_the_archive(made: Made) -> None:
    raw = read_images(made.folder)
    assert len(raw) == 8
    with np.load(made.folder / "golden/fitted.npz") as fitted:
        for index, image in enumerate(raw):
            with Image.open(made.folder / f"golden/image_{index}.png") as opened:
                assert np.array_equal(np.asarray(opened)[:, :, None], image)
            assert np.array_equal(fitted[f"image_{index}"], made.artifact.manifest.input.fit(image))


def test_damaged_golden_images_are_named(bundle: Path) -> None:
    (bundle / "golden/inputs.npz").write_bytes(b"PK")
    with pytest.raises(CorruptFile, match=r"inputs\.npz cannot be read"):
        read_images(bundle)


def test_the_model_with_preprocessing_gives_the_pipelines_answers(made: Made) -> None:
    spec = made.artifact.manifest.input
    session = onnxruntime.InferenceSession(made.folder / "model-with-preprocessing.onnx")
    for image in made.data.raw_test[:20]:
        tall = np.concatenate([image, image[:3]])
        [[found]] = session.run(["logits"], {"image": tall})
        [wanted] = made.session(spec.normalize(spec.fit(tall)[None]))
        np.testing.assert_allclose(found, wanted, atol=1e-5 * abs(wanted).max())


def test_another_answer_with_preprocessing_is_no_bundle(made: Made, tmp_path: Path) -> None:
    """Golden answers of a session that is not the artifact's."""
    with pytest.raises(ParityMiss, match="image_0 are off"):
        write_bundle(tmp_path / "b", made.artifact, made.data.raw_test, lambda x: made.session(x) + 1, shipped())
    assert not (tmp_path / "b").exists()


def test_what_the_rounding_of_a_pixel_comes_to_is_allowed_twice(made: Made) -> None:
    golden = json.loads((made.folder / "golden/expected.json").read_text())
    content = (made.folder / "model-with-preprocessing.onnx").read_bytes()
    step = 0.01 * max(abs(logit) for logit in golden["image_2"]["logits"])
    golden["image_2"]["logits"][0] += step
    checked = checked_whole(content, read_images(made.folder), golden)
    assert checked["image_2"]["tolerance"] == pytest.approx(2 * step, rel=1e-2)
    assert checked["image_3"] == golden["image_3"]


def test_the_card_tells_data_accuracy_latency_and_licence(made: Made) -> None:
    text = (made.folder / "MODEL_CARD.md").read_text()
    for fact in (
        "handwritten digits",
        "train 1,168, test 450",
        "91.23% (88.00% to 94.12%)",
        "| No. | variant",
        "0.321 [0.300, 0.350]",
        "1,111,111 bytes packed",
        "on a processor",
        "trained in this study from random ones",
        "## Limits",
    ):
        assert fact in text, fact


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ({"ResNet18": {"weights": "imagenet"}}, "BSD-3-Clause"),
        ({"EfficientNetLite0": {"weights": "imagenet"}}, "Apache-2.0"),
        ({"ResNet18": {"weights": "models/from|them.pth"}}, r"the file from\|them.pth, whose licence is not known"),
        ({"ResNet18": {"weights": ""}}, "from random ones"),
        ({"Dense": None}, "from random ones"),
    ],
)
def test_the_licence_is_that_of_the_weights(stage: dict[str, Any], told: str) -> None:
    assert told in licence((stage, {"Train": {}}))


def test_int8_has_a_wider_tolerance(made: Made, tmp_path: Path) -> None:
    manifest = made.artifact.manifest.model_copy(update={"integer": True})
    rewrite(replace(made, artifact=replace(made.artifact, manifest=manifest)), tmp_path / "int8")
    [first, *_] = json.loads((tmp_path / "int8/golden/expected.json").read_text()).values()
    assert first["tolerance"] == pytest.approx(5e-2 * np.abs(first["logits"]).max())
    assert "hold an int8 model" in (tmp_path / "int8/README.md").read_text()


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
        with pytest.raises(Exception, match=r"(README|MODEL_CARD).md is not the file|SHA256SUMS is missing"):
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
