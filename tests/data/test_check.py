"""``edgewright data check``: every image is looked at, and everything unusual is said once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photo_kit import BLUE, CONVERTED, REFUSED, encoded, fill, save
from tiny_run import edgewright

from pipeline.data.check import Checked, asked_for, check
from pipeline.data.digits import Digits
from pipeline.data.folder import Folder
from pipeline.data.npz import Npz
from pipeline.errors import UsageError
from pipeline.files import sha256_of


def hashes(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): sha256_of(path) for path in root.rglob("*") if path.is_file()}


def checked(root: Path, **fields: Any) -> Checked:
    return check(Folder(path=str(root), size=8, **fields))


def test_a_clean_folder(tmp_path: Path) -> None:
    fill(tmp_path)
    said = edgewright("data", "check", tmp_path)
    assert said.exit_code == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[:3] == [
        "train      28 images: cat (14), dog (14)",
        "validation 4 images: cat (2), dog (2)",
        "test       8 images: cat (4), dog (4)",
    ]
    assert lines[-1].endswith("40 images of 2 classes; everything can be used")


def test_everything_unusual_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    fill(tmp_path)
    for name, (make, _) in REFUSED.items():
        make(tmp_path / "cat" / name)
    for name, (convert, _, _) in CONVERTED.items():
        convert(tmp_path / "dog" / name)
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    (tmp_path / "dog" / "photo.heic").write_bytes(b"no image that is read")
    before = hashes(tmp_path)
    said = edgewright("data", "check", tmp_path)
    assert said.exit_code == 2
    assert hashes(tmp_path) == before
    lines = said.stdout.splitlines()
    for name, (_, problem) in REFUSED.items():
        assert any(line.startswith("refused") and problem in line for line in lines), name
    for name, (_, note, _) in CONVERTED.items():
        assert any(line.startswith("converted") and note in line for line in lines), name
    assert "passed by  no image by its ending, .heic: 1 file: dog/photo.heic" in lines
    assert "passed by  no image by its ending, .txt: 1 file: dog/notes.txt" in lines
    assert "refused    truncated: 2 files: cat/cut.jpg, cat/cut.png" in lines
    assert lines[-1].endswith(f"{40 + len(CONVERTED)} images of 2 classes; {len(REFUSED)} refused")
    assert f"{len(REFUSED)} refused, see above" in said.stderr
    assert len(said.stderr.splitlines()) <= 6


def test_json_has_every_file(tmp_path: Path) -> None:
    fill(tmp_path)
    for index in range(7):
        (tmp_path / "cat" / f"zero {index}.jpg").write_bytes(b"")
    said = edgewright("data", "check", tmp_path, "--json")
    assert said.exit_code == 2
    [finding] = json.loads(said.stdout)["findings"]
    assert (finding["kind"], finding["said"]) == ("refused", "empty: 0 bytes")
    assert finding["files"] == [f"cat/zero {index}.jpg" for index in range(7)]
    assert Checked.model_validate(json.loads(said.stdout)).refused == 7
    assert "7 files: cat/zero 0.jpg, cat/zero 1.jpg, cat/zero 2.jpg and 4 more" in checked(tmp_path).text()


def test_copies_are_told_by_where_they_are(tmp_path: Path) -> None:
    for seed, name in enumerate(("train", "val", "test")):
        fill(tmp_path / name, 6, seed=seed)

    def copy(source: str, target: str) -> None:
        (tmp_path / target).write_bytes((tmp_path / source).read_bytes())

    copy("train/cat/000.png", "train/dog/wrong.png")
    copy("train/cat/001.png", "test/cat/leaked.png")
    copy("val/dog/002.png", "val/dog/twice.png")
    found = {finding.said: set(finding.files) for finding in checked(tmp_path).findings}
    assert found == {
        "the same image with different labels": {"train/cat/000.png", "train/dog/wrong.png"},
        "the same image in more than one split": {"train/cat/001.png", "test/cat/leaked.png"},
        "the same image more than once in a split": {"val/dog/002.png", "val/dog/twice.png"},
    }
    assert checked(tmp_path).refused == 0


def test_sizes_are_those_of_upright_images(tmp_path: Path) -> None:
    for index in range(10):
        save(tmp_path / "cat" / f"{index}.png", (index, 0, 0), (10, 20))
        save(tmp_path / "dog" / f"{index}.png", BLUE, (30 + index, 50))
    found = checked(tmp_path)
    assert (found.widths, found.heights) == ((10, 20, 39), (20, 35, 50))


def test_too_few_images_to_divide_are_refused_after_the_files(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    (tmp_path / "cat" / "cut.jpg").write_bytes(encoded("JPEG")[:-200])
    said = edgewright("data", "check", tmp_path)
    assert said.exit_code == 2
    assert "too few" in said.stdout
    assert "all        4 images: cat (2), dog (2)" in said.stdout
    assert "cat/cut.jpg" in said.stdout


def test_an_empty_class_is_an_error(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "mouse").mkdir()
    said = edgewright("data", "check", tmp_path)
    assert said.exit_code == 2
    assert "mouse has no images" in said.stderr


def test_a_broken_file_that_was_good_is_found_though_it_looks_unchanged(tmp_path: Path) -> None:
    """The index trusts size and time; the check does not."""
    import os

    fill(tmp_path)
    file = tmp_path / "cat" / "000.png"
    Folder(path=str(tmp_path), size=8).load()
    status = file.stat()
    content = file.read_bytes()
    file.write_bytes(b"\0" * len(content))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    Folder(path=str(tmp_path), size=8).load()
    assert edgewright("data", "check", tmp_path).exit_code == 2
    with pytest.raises(UsageError, match="not an image"):
        Folder(path=str(tmp_path), size=8).load()


def test_data_sets_that_are_arrays() -> None:
    found = check(Digits(size=8))
    assert sum(found.counts["test"].values()) == 450
    assert (found.widths, found.heights) == ((8, 8, 8), (8, 8, 8))
    assert found.refused == 0


def test_copies_in_arrays_have_numbers(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (40, 6, 6)).astype(np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[[3, 4]], y_test=y[[3, 4]])
    [finding] = check(Npz(path=str(tmp_path / "a.npz"))).findings
    assert finding.said == "the same image in more than one split"
    assert {"test[0]", "test[1]"} < set(finding.files)


def test_many_classes_are_counted_together(tmp_path: Path) -> None:
    for label in range(12):
        for index in range(10 + label):
            save(tmp_path / f"c{label:02}" / f"{index}.png", (index, label, 0), (8, 8))
    assert "train      " in checked(tmp_path).text()
    assert "of 12 of 12 classes, 7 to " in checked(tmp_path).text()


def test_what_a_name_means(tmp_path: Path) -> None:
    assert asked_for("digits") == Digits()
    assert asked_for(f"folder:{tmp_path}") == asked_for(str(tmp_path)) == Folder(path=str(tmp_path))
    assert asked_for("some.npz") == Npz(path="some.npz")
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        asked_for("digit")
