"""A session answers for every image, once, in order; and how good the answers are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.dataset import DataSet, Samples
from pipeline.images import Held
from pipeline.measure.accuracy import ANY_BATCH, BINS, answers, calibration_error, confidence, per_class, top_k
from pipeline.spec import InputSpec

SPEC = InputSpec(size=(1, 1), resize=1, color="L", mean=(0.0,), std=(1.0,))


def numbered(count: int) -> Samples:
    """Image number i is one pixel of value i."""
    return Samples(Held(np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)), np.zeros(count, np.int64), SPEC)


@given(st.integers(1, 200), st.integers(0, 70))
def test_every_image_once_in_order(count: int, batch: int) -> None:
    sizes: list[int] = []

    def session(x_NCHW: np.ndarray) -> np.ndarray:
        sizes.append(len(x_NCHW))
        return np.stack([x_NCHW[:, 0, 0, 0] * 255, np.ones(len(x_NCHW))], 1)

    logits_NK = answers(session, numbered(count), batch)
    np.testing.assert_allclose(logits_NK[:, 0], np.arange(count), atol=1e-4)
    assert logits_NK.shape == (count, 2)
    assert sum(sizes) == count
    assert set(sizes[:-1]) <= {batch or ANY_BATCH}


@pytest.mark.parametrize("batch", [0, 1, 7])
def test_the_batch_does_not_change_the_answers(batch: int, digits: DataSet) -> None:
    weights = np.random.default_rng(0).normal(size=(256, 10)).astype(np.float32)
    samples = digits.splits.validation
    found = answers(lambda x_NCHW: x_NCHW.reshape(len(x_NCHW), -1) @ weights, samples, batch)
    np.testing.assert_allclose(found, samples.x_NCHW().reshape(len(samples), -1) @ weights, atol=1e-4)


LOGITS = st.tuples(st.integers(1, 30), st.integers(1, 8)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(-1e4, 1e4, width=32))
)
JUDGED = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=200)


def test_top_k_by_hand() -> None:
    logits_NK = np.array([[9, 5, 1, 0], [0, 1, 5, 9], [1, 2, 3, 4]], np.float32)
    labels_N = np.array([1, 0, 3])
    assert [top_k(logits_NK, labels_N, k) for k in (1, 2, 3, 4)] == [1, 2, 2, 3]


@given(LOGITS, st.randoms())
def test_top_k_grows_with_k_and_the_first_is_top1(logits_NK: np.ndarray, random: object) -> None:
    images, classes = logits_NK.shape
    distinct_NK = np.argsort(logits_NK, axis=1, kind="stable").argsort(axis=1).astype(np.float32)
    labels_N = np.arange(images) % classes
    counts = [top_k(distinct_NK, labels_N, k) for k in range(1, classes + 1)]
    assert counts == sorted(counts)
    assert counts[0] == (distinct_NK.argmax(1) == labels_N).sum()
    assert counts[-1] == images


def test_per_class_by_hand() -> None:
    right_N, labels_N = np.array([True, False, True, True]), np.array([0, 0, 2, 2])
    assert per_class(right_N, labels_N, 4) == (0.5, None, 1.0, None)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=60))
def test_classes_weighted_by_their_images_are_top1(judged: list[tuple[int, bool]]) -> None:
    labels_N, right_N = (np.array(part) for part in zip(*judged, strict=True))
    shares = per_class(right_N, labels_N, 5)
    images = np.bincount(labels_N, minlength=5)
    assert [share is None for share in shares] == [count == 0 for count in images]
    weighted = sum(share * count for share, count in zip(shares, images, strict=True) if share is not None)
    assert weighted / len(labels_N) == pytest.approx(right_N.mean())


@given(LOGITS)
def test_confidence_is_the_largest_share_of_the_softmax(logits_NK: np.ndarray) -> None:
    found = confidence(logits_NK)
    classes = logits_NK.shape[1]
    assert found.dtype == np.float32
    assert (found >= 1 / classes * (1 - 1e-6)).all()
    assert (found <= 1).all()
    np.testing.assert_allclose(confidence(logits_NK + 1), found, rtol=0.02)


def test_confidence_by_hand() -> None:
    np.testing.assert_allclose(confidence(np.log(np.array([[1, 2, 5], [3, 1, 1]], np.float32))), [5 / 8, 3 / 5])
    np.testing.assert_allclose(confidence(np.array([[1e4, 0.0]], np.float32)), [1.0])


def test_calibration_by_hand() -> None:
    confidence_N = np.array([0.91, 0.92, 0.93, 0.55], np.float32)
    right_N = np.array([True, True, False, True])
    expected = 3 / 4 * abs(0.92 - 2 / 3) + 1 / 4 * abs(0.55 - 1)
    assert calibration_error(confidence_N, right_N) == pytest.approx(expected, abs=1e-6)


@given(JUDGED)
def test_calibration_is_a_fraction(judged: list[tuple[float, bool]]) -> None:
    confidence_N, right_N = (np.array(part) for part in zip(*judged, strict=True))
    found = calibration_error(confidence_N.astype(np.float32), right_N)
    assert 0 <= found <= 1 + 1e-6
    # No bins at all see less.
    assert found >= abs(confidence_N.mean() - right_N.mean()) - 1e-6


@given(st.lists(st.integers(0, BINS), min_size=1, max_size=BINS, unique=True), st.integers(1, 4))
def test_who_is_right_as_often_as_confident_is_calibrated(shares: list[int], times: int) -> None:
    """Of every 15 images of confidence s/15, s are right."""
    confidence_N = np.repeat(np.array(shares) / BINS, BINS * times)
    right_N = np.concatenate([np.arange(BINS * times) < share * times for share in shares])
    assert calibration_error(confidence_N, right_N) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("right", [True, False])
def test_the_worst_calibration(right: bool) -> None:
    confidence_N = np.full(9, 0.0 if right else 1.0, np.float32)
    assert calibration_error(confidence_N, np.full(9, right)) == 1.0
