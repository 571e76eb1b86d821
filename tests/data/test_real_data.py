"""The real data sets below ``EDGEWRIGHT_DATA``: whole, divided as promised, and clean."""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import pytest

from pipeline.data.check import check
from pipeline.dataset import DataSet, read_source

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not os.environ.get("EDGEWRIGHT_DATA"), reason="EDGEWRIGHT_DATA is not set"),
]
SIZES = {
    "mnist": (54_000, 6_000, 10_000),
    "cifar10": (17_999, 2_001, 10_000),
    "cats_dogs": (1_200, 300, 300),
    "imagenet": (260, 260, 780),
}


@cache
def loaded(kind: str) -> DataSet:
    return read_source(kind).load()


@pytest.mark.parametrize("kind", SIZES)
def test_sizes(kind: str) -> None:
    data = loaded(kind)
    assert tuple(len(part) for part in data.parts.values()) == SIZES[kind]
    assert len(data.splits.calibration) == 256
    assert len(data.raw_test) == 32
    assert data.left_out == ()


@pytest.mark.parametrize("kind", SIZES)
def test_no_split_shares_an_image(kind: str) -> None:
    assert loaded(kind).duplicates == ()


@pytest.mark.parametrize("kind", ["mnist", "cifar10", "cats_dogs"])
def test_each_class_has_its_share_of_validation(kind: str) -> None:
    splits = loaded(kind).splits
    train, validation = (np.bincount(part.labels_N) for part in (splits.train, splits.validation))
    share = validation / (train + validation)
    assert share.max() - share.min() < 0.01


@pytest.mark.parametrize("kind", SIZES)
def test_examples_before_fitting_are_the_first_test_images(kind: str) -> None:
    data = loaded(kind)
    fitted = data.test.images.take(np.arange(4)).fitted_NHWC()
    for raw, expected in zip(data.raw_test[:4], fitted, strict=True):
        assert np.array_equal(data.splits.spec.fit(raw), expected)


def test_normalization_is_about_that_of_the_images() -> None:
    for kind in ("mnist", "cifar10"):
        x_NCHW = loaded(kind).splits.validation.x_NCHW()
        assert np.abs(x_NCHW.mean((0, 2, 3))).max() < 0.03
        assert np.abs(x_NCHW.std((0, 2, 3)) - 1).max() < 0.03


@pytest.mark.parametrize("kind", ["cats_dogs", "imagenet"])
def test_photographs_can_all_be_used(kind: str) -> None:
    found = check(read_source(kind))
    assert found.refused == 0
    assert sum(sum(by_class.values()) for by_class in found.counts.values()) == sum(SIZES[kind])
