"""Labels without repetition, and those that meet."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pruners._labels import core, expanded, first_row, pairs, tensors_in, tidy

ROW = torch.tensor([3, 1, 2])


@given(axis=st.integers(0, 3), shape=st.tuples(*[st.integers(1, 4)] * 4))
def test_a_row_comes_back(axis: int, shape: tuple[int, ...]) -> None:
    labels = expanded(ROW, axis, shape)
    assert labels.shape == (*shape[:axis], 3, *shape[axis + 1 :])
    assert torch.equal(first_row(labels, axis), ROW)
    assert core(labels).numel() == 3
    assert torch.equal(tidy(labels.contiguous()), labels)
    assert core(tidy(labels.contiguous())).numel() == 3


def test_what_changes_is_kept() -> None:
    labels = torch.arange(6).view(1, 2, 3, 1).expand(1, 2, 3, 5)
    assert core(labels).shape == (1, 2, 3, 1)
    assert core(torch.zeros(2, 3, dtype=torch.int64)).shape == (1, 1)


def test_labels_meet_where_they_are_broadcast() -> None:
    assert pairs(expanded(ROW, 1, (1, 3, 4, 4)), expanded(ROW + 10, 1, (1, 3, 1, 1))) == {(3, 13), (1, 11), (2, 12)}
    assert pairs(expanded(ROW, 1, (1, 3, 4, 4)), torch.tensor(0)) == {(3, 0), (1, 0), (2, 0)}


def test_tensors_among_arguments() -> None:
    one, other = torch.zeros(1), torch.ones(1)
    assert list(tensors_in([1, (one, {"x": [other]}), None])) == [one, other]
