"""The digits inside scikit-learn: real, fixed, and divided cleanly."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pipeline.data.digits import Digits
from pipeline.dataset import DataSet, Samples


def hashes(samples: Samples) -> set[str]:
    return {hashlib.sha256(image.tobytes()).hexdigest() for image in samples.images.fitted_NHWC()}


def test_sizes_and_classes(digits: DataSet) -> None:
    splits = digits.splits
    sizes = [len(splits.train), len(splits.validation), len(digits.test)]
    assert sum(sizes) == 1797
    assert np.abs(np.array(sizes) / 1797 - [0.65, 0.1, 0.25]).max() < 0.01
    assert len(splits.calibration) == 256
    assert splits.classes == tuple("0123456789")
    assert splits.train.images.fitted_NHWC().shape[1:] == (16, 16, 1)


def test_no_test_image_was_trained_on(digits: DataSet) -> None:
    test = hashes(digits.test)
    for part in (digits.splits.train, digits.splits.calibration, digits.splits.validation):
        assert not hashes(part) & test


def test_calibration_is_part_of_train(digits: DataSet) -> None:
    assert hashes(digits.splits.calibration) <= hashes(digits.splits.train)
    assert len(np.unique(digits.splits.calibration.labels_N)) == 10


def test_raw_images_are_the_first_test_images_before_fitting(digits: DataSet) -> None:
    assert len(digits.raw_test) == 32
    for raw, fitted in zip(digits.raw_test, digits.test.images.fitted_NHWC(), strict=False):
        assert (raw.shape, raw.dtype) == ((8, 8, 1), np.uint8)
        assert np.array_equal(digits.splits.spec.fit(raw), fitted)


def test_loading_again_gives_the_same(digits: DataSet) -> None:
    assert Digits(size=16).load().digest == digits.digest
    assert Digits(size=8).load().digest != digits.digest


@pytest.mark.parametrize("size", [1, 8, 33])
def test_any_size(size: int) -> None:
    data = Digits(size=size).load()
    assert data.test.images.fitted_NHWC().shape[1:] == (size, size, 1)
    assert data.splits.spec.shape == (1, size, size)
