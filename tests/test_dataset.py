"""Division into train, validation and test: disjoint, stratified, fixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.cats_dogs import CatsDogs
from pipeline.data.digits import Digits
from pipeline.data.folder import Folder
from pipeline.data.npz import Npz
from pipeline.dataset import DataSet, Samples, assemble, read_source, shuffled, split
from pipeline.errors import DataError, UsageError
from pipeline.images import Held
from pipeline.spec import InputSpec

SPEC = InputSpec(size=(1, 2), resize=2, color="L", mean=(0.5,), std=(0.5,))


def numbered(labels: list[int]) -> Samples:
    """Every image holds its own number."""
    numbers = np.arange(len(labels), dtype=np.uint16)
    return Samples(Held(numbers.view(np.uint8).reshape(-1, 1, 2, 1)), np.array(labels, np.int64), SPEC)


def numbers(samples: Samples) -> list[int]:
    return np.ascontiguousarray(samples.images.fitted_NHWC()).reshape(-1, 2).view(np.uint16).ravel().tolist()


@given(
    counts=st.lists(st.integers(12, 60), min_size=2, max_size=5),
    fractions=st.sampled_from([(0.7, 0.1, 0.2), (0.65, 0.1, 0.25), (0.5, 0.25, 0.25), (0.9, 0.1, 0.0)]),
    seed=st.integers(0, 99),
)
def test_disjoint_complete_stratified_and_fixed(
    counts: list[int], fractions: tuple[float, float, float], seed: int
) -> None:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    samples = numbered(np.random.default_rng(seed).permutation(labels).tolist())
    splits, test, order = split(samples, fractions, ("c",) * len(counts))
    parts = [splits.train, splits.validation, test]
    assert sorted(number for part in parts for number in numbers(part)) == list(range(len(labels)))
    assert numbers(test) == order.tolist()
    for part, fraction in zip(parts, fractions, strict=True):
        assert (part.labels_N == samples.labels_N[numbers(part)]).all()
        for label, count in enumerate(counts):
            assert abs((part.labels_N == label).sum() - fraction * count) <= 1
    again = split(samples, fractions, ("c",) * len(counts))
    assert numbers(again[0].train) == numbers(splits.train)
    assert numbers(again[1]) == numbers(test)


def test_calibration_is_the_start_of_train_and_not_of_one_class() -> None:
    splits, _, _ = split(numbered([0] * 400 + [1] * 400), (0.7, 0.1, 0.2), ("a", "b"))
    assert numbers(splits.calibration) == numbers(splits.train)[:256]
    assert 0.35 < splits.calibration.labels_N.mean() < 0.65


def test_calibration_of_few_images() -> None:
    few = numbered([0, 1, 0])
    assert len(assemble(few, few, ("a", "b")).calibration) == 3


@pytest.mark.parametrize("labels", [[0, 1], [0, 0, 1, 1], [0, 1, 2, 3]])
def test_too_few_images_is_an_error(labels: list[int]) -> None:
    with pytest.raises(DataError, match="too few"):
        split(numbered(labels), (0.7, 0.1, 0.2), ("a", "b", "c", "d"))


def test_shuffled_keeps_images_and_labels_together() -> None:
    samples = numbered([0] * 30 + [1] * 30)
    mixed = shuffled(samples)
    assert sorted(numbers(mixed)) == list(range(60))
    assert numbers(mixed) != list(range(60))
    assert (mixed.labels_N == samples.labels_N[numbers(mixed)]).all()
    assert numbers(shuffled(samples)) == numbers(mixed)


def test_inputs_are_normalized() -> None:
    samples = numbered([0, 1, 0])
    assert samples.x_NCHW(1, 3).shape == (2, 1, 1, 2)
    np.testing.assert_allclose(samples.x_NCHW()[1, 0, 0], [(1 / 255 - 0.5) / 0.5, -1], atol=1e-6)


def small() -> DataSet:
    splits, test, _ = split(numbered([0, 1] * 30), (0.6, 0.2, 0.2), ("a", "b"))
    return DataSet(splits, test, (), "numbers")


@given(part=st.sampled_from(["train", "calibration", "validation", "test"]), position=st.integers(0, 10**4))
def test_the_digest_follows_every_byte(part: str, position: int) -> None:
    data = small()
    samples = data.test if part == "test" else getattr(data.splits, part)
    images, labels = samples.images.fitted_NHWC().copy(), samples.labels_N.copy()
    images.reshape(-1)[position % images.size] ^= 1 << (position % 8)
    labels[position % len(labels)] += 1
    for changed in (replace(samples, images=Held(images)), replace(samples, labels_N=labels)):
        other = replace(data, test=changed) if part == "test" else _with(data, part, changed)
        assert other.digest != data.digest
    assert small().digest == data.digest


def _with(data: DataSet, part: str, samples: Samples) -> DataSet:
    return replace(data, splits=replace(data.splits, **{part: samples}))


def test_the_digest_follows_the_classes_and_the_preprocessing() -> None:
    data = small()
    renamed = replace(data, splits=replace(data.splits, classes=("b", "a")))
    respecified = replace(data, splits=replace(data.splits, spec=SPEC.model_copy(update={"mean": (0.4,)})))
    assert len({data.digest, renamed.digest, respecified.digest}) == 3


@given(shared=st.lists(st.integers(0, 11), unique=True), part=st.sampled_from(["validation", "test"]))
def test_duplicates_are_counted_between_splits(shared: list[int], part: str) -> None:
    data = small()
    assert data.duplicates == ()
    samples = data.parts[part]
    images = samples.images.fitted_NHWC().copy()
    images[shared] = data.splits.train.images.fitted_NHWC()[shared]
    changed = replace(samples, images=Held(images))
    other = replace(data, test=changed) if part == "test" else _with(data, part, changed)
    count = len(shared)
    verb = "image of {} is" if count == 1 else "images of {} are"
    assert other.duplicates == ((f"{count} {verb.format(part)} in train too",) if count else ())


def test_names_of_held_images_stand_for_their_pixels() -> None:
    pixels = np.zeros((3, 1, 2, 1), np.uint8)
    assert len(set(Held(pixels).hashes())) == 1
    named = Held(pixels, ("a", "b", "c"))
    assert named.hashes() == ("a", "b", "c")
    assert named.take(np.array([2, 0])).hashes() == named.take(np.array([2, 0])).held().hashes() == ("c", "a")


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        ("digits", Digits()),
        ("npz:~/a b.npz", Npz(path="~/a b.npz")),
        ({"cats_dogs": {"size": 96}}, CatsDogs(size=96)),
        ({"digits": {"size": 24}}, Digits(size=24)),
        ("folder:~/a b", Folder(path="~/a b")),
        ("folder:/a:b", Folder(path="/a:b")),
        ({"folder": {"path": "x", "size": 96}}, Folder(path="x", size=96)),
    ],
)
def test_sources_are_read(data: object, wanted: object) -> None:
    assert read_source(data) == wanted


@pytest.mark.parametrize(
    "data", ["digits:8", "mnist:8", "npz", {"imagenet": {"resize": 3}}, "digts", "digts:3", {"folder": {}}, 3, None]
)
def test_sources_that_cannot_be(data: object) -> None:
    with pytest.raises(UsageError):
        read_source(data)
