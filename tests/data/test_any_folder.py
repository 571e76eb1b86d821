"""Photographs for a network that exists: which labels are used, and why others are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photo_kit import fill, save
from pydantic import ValidationError

from pipeline.data.any_folder import AnyFolder
from pipeline.dataset import DataSet
from pipeline.errors import DataError


def load(root: Path, **fields: Any) -> DataSet:
    return AnyFolder(path=str(root), size=8, **fields).load()


def test_folders_are_labels_where_they_are_as_many_as_outputs(tmp_path: Path) -> None:
    fill(tmp_path)
    data = load(tmp_path, outputs=2)
    assert data.labelled
    assert data.splits.classes == ("cat", "dog")
    assert [len(part) for part in data.parts.values()] == [8, 16, 16]
    assert data.remarks == ()
    assert sorted(data.test.labels_N.tolist()) == [0] * 8 + [1] * 8


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"outputs": 3}, "2 class folders, but the network tells 3 classes apart"),
        ({"labels": "none", "outputs": 2}, "labels are not used, as asked"),
        ({"classes": ("cat", "cow")}, "the class folder dog is none of the network's 2 classes"),
    ],
)
def test_labels_that_do_not_fit_are_not_used_and_the_report_says_so(
    fields: dict[str, Any], told: str, tmp_path: Path
) -> None:
    fill(tmp_path)
    data = load(tmp_path, notes=("a note",), **fields)
    assert not data.labelled
    assert not data.test.labelled
    assert told in data.remarks[0]
    assert data.remarks[1:] == ("a note",)
    assert len(data.splits.classes) == (fields.get("outputs") or 2)


def test_images_without_folders_have_no_labels(tmp_path: Path) -> None:
    for index in range(10):
        save(tmp_path / "deep" / f"{index}.png", (index, 0, 0))
    data = load(tmp_path, outputs=4)
    assert (data.labelled, data.splits.classes) == (False, ("0", "1", "2", "3"))
    assert [len(part) for part in data.parts.values()] == [2, 4, 4]
    answered = data.answered(np.array([0, 1, 2, 3]), np.array([3, 2, 1, 0]))
    assert answered.test.labelled
    assert not answered.labelled
    with pytest.raises(DataError, match="no labels to learn from"):
        data.splits.train.check_labelled()
    with pytest.raises(DataError, match="1 class folder"):
        load(tmp_path)


def test_names_give_folders_their_outputs(tmp_path: Path) -> None:
    fill(tmp_path)
    data = load(tmp_path, classes=("dog", "bird", "cat"))
    assert data.splits.classes == ("dog", "bird", "cat")
    assert set(data.test.labels_N.tolist()) == {0, 2}


def test_classes_of_one_image_are_divided_at_random(tmp_path: Path) -> None:
    for index in range(10):
        save(tmp_path / f"class{index}" / "one.png", (index, 0, 0))
    data = load(tmp_path, outputs=10)
    assert data.labelled
    assert [len(part) for part in data.parts.values()] == [2, 4, 4]


def test_a_division_of_ones_own_is_kept(tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        fill(tmp_path / part, count=3)
    data = load(tmp_path, outputs=2)
    assert [len(part) for part in data.parts.values()] == [6, 6, 6]


def test_grey_images_and_any_proportion(tmp_path: Path) -> None:
    fill(tmp_path)
    data = load(tmp_path, outputs=2, width=12, grey=True)
    assert data.splits.spec.shape == (1, 8, 12)
    assert data.test.x_NCHW(0, 2).shape == (2, 1, 8, 12)
    assert data.raw_test[0].shape[2] == 1


def test_fields_that_contradict_each_other_are_refused() -> None:
    for fields in ({"outputs": 3, "classes": ("a", "b")}, {"classes": ("a", "a")}, {"fractions": (0.5, 0.4, 0.4)}):
        with pytest.raises(ValidationError):
            AnyFolder(path="x", **fields)  # type: ignore[arg-type]
