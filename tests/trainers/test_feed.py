"""Batches are a function of the seed and the step, wherever the images are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.dataset import Samples
from pipeline.errors import DataError
from pipeline.images import Held, Images
from pipeline.ranks import Ranks
from pipeline.stage import Context
from pipeline.trainers.feed import Batch, Feed, Resident, Streamed, feed_of, random_part
from pipeline.trainers.plan import Plan

PLAN = Plan(epochs=2, batch=32, lr=0.05, augment="none")


@dataclass(frozen=True, eq=False)
class Elsewhere(Images):
    """Images that are not in memory, as far as a feed can see."""

    held: Held
    broken: int = -1

    def __len__(self) -> int:
        return len(self.held)

    def fitted_NHWC(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        return self.held.fitted_NHWC(start, stop)

    def original(self, index: int) -> NDArray[np.uint8]:
        if index == self.broken:
            raise DataError(f"image {index} cannot be decoded", "replace it")
        return self.held.original(index)

    def take(self, indices: NDArray[np.int64]) -> Elsewhere:
        return Elsewhere(self.held.take(indices))

    def hashes(self) -> tuple[str, ...]:
        return self.held.hashes()


def marked(context: Context, streamed: bool = False, broken: int = -1) -> Context:
    """Training images whose labels are their numbers."""
    train = context.data.train
    images = Elsewhere(Held(train.images.fitted_NHWC()), broken) if streamed else train.images
    numbers = Samples(images, np.arange(len(train), dtype=np.int64), train.spec)
    return replace(context, data=replace(context.data, train=numbers, classes=("any",) * len(train)))


FEEDS: list[Callable[[Context, Plan], Feed]] = [
    lambda context, plan: Resident(marked(context), plan),
    lambda context, plan: Streamed(marked(context, streamed=True), plan),
]
both = pytest.mark.parametrize("feed", FEEDS, ids=["resident", "streamed"])


@both
def test_an_epoch_sees_every_image_once(feed: Callable[..., Feed], context: Context) -> None:
    batches = feed(context, PLAN)
    epochs = [[int(i) for s in range(3) for i in batches(3 * e + s).targets] for e in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(96))] * 2
    assert epochs[0] != epochs[1]


@both
def test_a_batch_is_the_normalized_images(feed: Callable[..., Feed], context: Context) -> None:
    batch = feed(context, PLAN)(4)
    assert torch.equal(batch.targets, batch.chosen_N)
    np.testing.assert_allclose(batch.x_NCHW.numpy(), context.data.train.x_NCHW()[batch.chosen_N.numpy()], atol=1e-6)


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@both
@pytest.mark.parametrize("augment", [["affine", "cutout"], ["resized_crop", "flip", "mixup"]])
def test_a_step_is_the_same_whenever_it_is_asked_for(
    feed: Callable[..., Feed], augment: list[str], context: Context
) -> None:
    plan = PLAN.model_copy(update={"augment": tuple(augment)})
    from_start, from_step_4 = feed(context, plan), feed(context, plan)
    batches = [from_start(step) for step in range(5)]
    torch.manual_seed(77)
    assert same(from_step_4(4), batches[4])
    assert not same(batches[3], batches[4])
    other = feed(replace(context, seed=1), plan)
    assert not same(other(4), batches[4])


def test_files_are_streamed_and_memory_is_not(context: Context) -> None:
    assert isinstance(feed_of(context, PLAN), Resident)
    assert isinstance(feed_of(marked(context, streamed=True), PLAN), Streamed)


def test_an_image_that_cannot_be_decoded_is_named(context: Context) -> None:
    feed = Streamed(marked(context, streamed=True, broken=7), PLAN)
    with pytest.raises(DataError, match="image 7 cannot be decoded"):
        [feed(step) for step in range(3)]


@given(world=st.integers(1, 5), batch=st.integers(5, 40))
def test_processes_share_a_batch_without_overlap(world: int, batch: int, context: Context) -> None:
    plan = PLAN.model_copy(update={"batch": batch})
    feeds = [Resident(replace(context, ranks=Ranks(rank, world)), plan) for rank in range(world)]
    parts = [feed.chosen(1).tolist() for feed in feeds]
    assert len({len(part) for part in parts}) == 1
    whole = [number for part in parts for number in part]
    assert len(set(whole)) == len(whole) == batch - batch % world
    assert len({feed.seed_of(step) for feed in feeds for step in range(9)}) == 9 * world


def test_more_processes_than_images_are_refused(context: Context) -> None:
    with pytest.raises(DataError, match="too few for 8 processes"):
        Resident(replace(context, ranks=Ranks(0, 8)), PLAN.model_copy(update={"batch": 7}))


@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 999))
def test_a_random_part_is_a_part(height: int, width: int, seed: int) -> None:
    image = np.arange(height * width, dtype=np.uint16).reshape(height, width, 1)
    part = random_part(image, seed)
    rows, columns = part.shape[:2]
    assert rows >= 1
    assert columns >= 1
    top, left = divmod(int(part[0, 0, 0]), width)
    assert (part == image[top : top + rows, left : left + columns]).all()
    assert (random_part(image, seed) == part).all()
