"""``verify`` names the file that is not the one that was written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bundle_kit import Made, results_of, variant

from pipeline.artifact import read_manifest
from pipeline.bundle.checksums import read_sums, sums_of
from pipeline.bundle.verify import verify_folder
from pipeline.errors import CorruptFile, NewerFormat, UsageError


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def study(made: Made, tmp_path: Path) -> Path:
    """An exported study with two artifacts, a bundle, results and a run's hidden store."""
    root = tmp_path / "study"
    for recipe in ("tiny", "small"):
        shutil.copytree(made.artifact.folder, root / "models" / recipe / "onnx")
    shutil.copytree(made.folder, root / "bundle")
    (root / ".store/broken").mkdir(parents=True)
    (root / ".store/broken/manifest.json").write_text("not one of ours to check")
    variants = (variant(), variant(recipe="small", folder="models/small/onnx"))
    results = results_of(*variants)
    (root / "results.json").write_text(results.model_dump_json())
    return root


def test_a_whole_bundle(made: Made) -> None:
    assert verify_folder(made.folder) == ["bundle: bundle, 23 files"]


def test_a_whole_artifact(made: Made) -> None:
    assert verify_folder(made.artifact.folder) == ["artifact: onnx artifact, 2 files"]


def test_the_current_folder_has_a_name(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle)
    assert verify_folder(Path()) == ["bundle: bundle, 23 files"]


def test_a_whole_study(study: Path) -> None:
    assert verify_folder(study) == [
        "bundle: bundle, 23 files",
        "models/small/onnx: onnx artifact, 2 files",
        "models/tiny/onnx: onnx artifact, 2 files",
        "results.json: 2 variants",
    ]


BUNDLED = [
    *("model.onnx", "model-with-preprocessing.onnx", "labels.txt", "preprocess.json", "classify.py", "self_test.py"),
    *("golden/inputs.npz", "golden/expected.json", "golden/image_3.png", "examples/kotlin/Classifier.kt"),
    "MODEL_CARD.md",
]


@pytest.mark.parametrize("name", [*BUNDLED, "README.md", "SHA256SUMS"])
@pytest.mark.parametrize("damage", [flip_a_bit, Path.unlink])
def test_a_damaged_bundle_is_named(bundle: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(bundle / name)
    # A flipped bit in the checksums shows as the file that they are about, or as a damaged line.
    with pytest.raises(CorruptFile, match="bundle/" if name == "SHA256SUMS" else name):
        verify_folder(bundle)


@pytest.mark.parametrize("name", ["extra.txt", "golden/extra.npz", ".hidden"])
def test_an_added_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).write_text("")
    with pytest.raises(CorruptFile, match=name):
        verify_folder(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "models/small/onnx/model.onnx",
        "models/tiny/onnx/probe.npz",
        "bundle/model.onnx",
        "bundle/SHA256SUMS",
        "models/tiny/onnx/manifest.json",
    ],
)
def test_a_file_missing_from_a_study_is_named(study: Path, name: str) -> None:
    (study / name).unlink()
    with pytest.raises(CorruptFile, match=name):
        verify_folder(study)


def test_a_flipped_bit_in_a_study_is_named(study: Path) -> None:
    flip_a_bit(study / "models/small/onnx/model.onnx")
    with pytest.raises(CorruptFile, match=r"models/small/onnx/model\.onnx"):
        verify_folder(study)


def test_a_file_added_to_an_artifact_is_named(study: Path) -> None:
    (study / "models/tiny/onnx/model.onnx.data").write_bytes(b"weights of somebody else")
    with pytest.raises(CorruptFile, match=r"models/tiny/onnx/model\.onnx\.data was not written"):
        verify_folder(study)


def test_a_whole_artifact_missing_from_a_study_is_named(study: Path) -> None:
    shutil.rmtree(study / "models/small")
    with pytest.raises(CorruptFile, match=r"models/small/onnx/manifest\.json is missing"):
        verify_folder(study)


def test_damaged_results_are_named(study: Path) -> None:
    (study / "results.json").write_text('{"schema_version": 2}')
    with pytest.raises(CorruptFile, match=r"results.json is damaged"):
        verify_folder(study)


def test_later_results_say_so(study: Path) -> None:
    (study / "results.json").write_text('{"schema_version": 99}')
    with pytest.raises(NewerFormat):
        verify_folder(study)


def test_a_manifest_that_vouches_for_nothing_is_refused(study: Path) -> None:
    path = study / "models/tiny/onnx/manifest.json"
    path.write_text(read_manifest(path).sealed({}).to_text(), encoding="utf-8")
    with pytest.raises(CorruptFile, match=r"does not vouch for model\.onnx"):
        verify_folder(study)


@pytest.mark.parametrize("sums", ["", "no checksum\n", f"{'0' * 64}  ../outside\n", f"{'0' * 64}  /outside\n"])
def test_checksums_that_are_none_are_refused(bundle: Path, sums: str) -> None:
    (bundle / "SHA256SUMS").write_text(sums)
    with pytest.raises(CorruptFile, match="SHA256SUMS is damaged"):
        verify_folder(bundle)


def test_no_flipped_bit_in_the_checksums_goes_unseen(tmp_path: Path) -> None:
    good = sums_of({"model.onnx": b"model", "golden/expected.json": b"{}"})
    path = tmp_path / "SHA256SUMS"
    path.write_bytes(good)
    wanted = read_sums(path)
    unseen = []
    for bit in range(8 * len(good)):
        path.write_bytes((int.from_bytes(good, "little") ^ (1 << bit)).to_bytes(len(good), "little"))
        try:
            if read_sums(path) == wanted:
                unseen.append(bit)
        except CorruptFile:
            pass
    # All but the very last line end, without which the file says the same.
    assert {bit // 8 for bit in unseen} <= {len(good) - 1}


def test_nothing_to_verify_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to verify"):
        verify_folder(tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        verify_folder(tmp_path / "nowhere")
