"""Changes of images: shapes, seeds, ranges, and what each of them means."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.trainers.augment import OPERATIONS, TRIVIAL, affine, changed, crop, flip, resized_crop, trivial
from pipeline.trainers.mixing import mixed, squares

SHAPES = [(1, 1, 8, 8), (5, 3, 16, 12), (7, 3, 3, 5)]


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_keeps_shape_and_range_and_follows_the_seed(name: str, shape: tuple[int, ...]) -> None:
    x_NCHW = images(*shape)
    original = x_NCHW.clone()
    results = []
    for seed in (3, 3):
        torch.manual_seed(seed)
        results.append(changed(x_NCHW, (name,)))
    assert results[0].shape == x_NCHW.shape
    assert torch.equal(*results)
    assert torch.equal(x_NCHW, original)
    assert float(results[0].min()) >= -1e-5
    assert float(results[0].max()) <= 1 + 1e-5


@pytest.mark.parametrize("name", OPERATIONS)
def test_samples_are_changed_each_in_its_own_way(name: str) -> None:
    torch.manual_seed(0)
    same = images(1, 3, 16, 16).expand(64, -1, -1, -1)
    assert len({image.numpy().tobytes() for image in changed(same, (name,))}) > 1


def test_no_change_is_no_change() -> None:
    x_NCHW = images(2, 3, 4, 4)
    assert changed(x_NCHW, ()) is x_NCHW
    assert changed(x_NCHW, ("mixup", "cutout")) is x_NCHW


def test_affine_without_strength_changes_nothing() -> None:
    x_NCHW = images(3, 2, 9, 9)
    torch.testing.assert_close(affine(x_NCHW, 0, 0, 0), x_NCHW, atol=1e-5, rtol=0)


def test_a_crop_of_everything_changes_nothing() -> None:
    x_NCHW = images(3, 2, 9, 9)
    cropped = resized_crop(x_NCHW, 1.0)
    assert cropped.shape == x_NCHW.shape
    assert torch.equal(crop(x_NCHW, 0), x_NCHW)


def test_flip_mirrors_about_half_of_the_images() -> None:
    torch.manual_seed(0)
    x_NCHW = images(200, 1, 4, 5)
    flipped = flip(x_NCHW)
    same = (flipped == x_NCHW).flatten(1).all(1)
    mirrored = (flipped == x_NCHW.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 60 < int(mirrored.sum()) < 140


@given(seed=st.integers(0, 99), height=st.integers(2, 12), width=st.integers(2, 12))
def test_crop_is_a_window_of_the_mirrored_image(seed: int, height: int, width: int) -> None:
    torch.manual_seed(seed)
    image = images(1, 1, height, width, seed=seed)
    reach = [round(0.125 * edge) for edge in (height, width)]
    padded = torch.nn.functional.pad(image, (reach[1], reach[1], reach[0], reach[0]), mode="reflect")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)[0, 0]
    assert (windows == crop(image)[0, 0]).flatten(2).all(2).any()


@pytest.mark.parametrize("operation", TRIVIAL)
def test_an_operation_without_strength_hardly_changes_anything(operation: object) -> None:
    x_NCHW = images(2, 3, 8, 8)
    result = operation(x_NCHW, torch.zeros(2, 1, 1, 1))
    # Two of them are strongest at 0: posterize keeps 32 levels, solarize inverts.
    if operation.__name__ == "_solarize":
        torch.testing.assert_close(result, 1 - x_NCHW)
    else:
        torch.testing.assert_close(result, x_NCHW, atol=1 / 30, rtol=0)


def test_trivial_leaves_some_images_alone() -> None:
    torch.manual_seed(0)
    x_NCHW = images(300, 3, 6, 6)
    untouched = int((trivial(x_NCHW) == x_NCHW).flatten(1).all(1).sum())
    assert 5 < untouched < 80


# --- mixing ---------------------------------------------------------------------------------


@given(edge=st.floats(0.1, 1), seed=st.integers(0, 50))
def test_squares_are_no_larger_than_asked(edge: float, seed: int) -> None:
    torch.manual_seed(seed)
    marked = squares(torch.zeros(6, 3, 10, 14), edge)
    assert marked.shape == (6, 1, 10, 14)
    assert (marked.flatten(1).sum(1) >= 1).all()
    assert (marked.any(3).sum(2) <= 10 * edge + 1).all()
    assert (marked.any(2).sum(2) <= 14 * edge + 1).all()


def test_cutout_takes_the_mean_colour_and_keeps_labels() -> None:
    torch.manual_seed(0)
    labels_N = torch.tensor([3, 1])
    x_NCHW, targets = mixed(torch.ones(2, 3, 8, 8), labels_N, ("cutout",), 4)
    assert targets is labels_N
    assert set(x_NCHW.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("change", ["mixup", "cutmix"])
@given(seed=st.integers(0, 50))
def test_targets_are_mixed_as_the_images_are(change: str, seed: int) -> None:
    """Each image is its own label: what is left of it is the share of its label."""
    torch.manual_seed(seed)
    labels_N = torch.arange(5)
    x_NCHW = labels_N.float().view(5, 1, 1, 1).expand(5, 1, 16, 16)
    mixed_NCHW, targets_NK = mixed(x_NCHW, labels_N, (change,), 5)
    torch.testing.assert_close(targets_NK.sum(1), torch.ones(5))
    torch.testing.assert_close(mixed_NCHW.mean((1, 2, 3)), targets_NK @ torch.arange(5.0), atol=1e-4, rtol=0)
    assert (targets_NK >= 0).all()


def test_mixing_twice_mixes_the_targets_twice() -> None:
    torch.manual_seed(0)
    _, targets_NK = mixed(torch.rand(6, 1, 8, 8), torch.arange(6), ("mixup", "cutmix"), 6)
    torch.testing.assert_close(targets_NK.sum(1), torch.ones(6))
