"""Tensors of labels: at each place the number of the filter that makes it, with stride 0 where nothing changes."""

from __future__ import annotations

from collections.abc import Iterator

import torch


def expanded(row_F: torch.Tensor, axis: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Labels of that shape that change along one axis only; its size is that of ``row_F``."""
    axis %= len(shape)
    around = [len(row_F) if other == axis else 1 for other in range(len(shape))]
    whole = [len(row_F) if other == axis else size for other, size in enumerate(shape)]
    return row_F.reshape(around).expand(whole)


def core(labels: torch.Tensor) -> torch.Tensor:
    """The labels without repetition: one place of every axis along which nothing changes."""
    for axis, stride in enumerate(labels.stride()):
        if stride == 0:
            labels = labels.narrow(axis, 0, 1)
    for axis in range(labels.ndim):
        first = labels.narrow(axis, 0, 1)
        if bool((labels == first).all()):
            labels = first
    return labels


def tidy(labels: torch.Tensor) -> torch.Tensor:
    """The same labels, with stride 0 along every axis where nothing changes."""
    return core(labels).expand(labels.shape)


def first_row(labels: torch.Tensor, axis: int) -> torch.Tensor:
    """What stands along one axis, at the first place of all others: (F,)."""
    axis %= labels.ndim
    for other in reversed(range(labels.ndim)):
        if other != axis:
            labels = labels.select(other, 0)
    return labels


def pairs(first: torch.Tensor, second: torch.Tensor) -> set[tuple[int, int]]:
    """Every two labels that stand at the same place of two tensors, which may be broadcast."""
    one, other = torch.broadcast_tensors(core(first), core(second))
    return set(zip(one.flatten().tolist(), other.flatten().tolist(), strict=True))


def tensors_in(values: object) -> Iterator[torch.Tensor]:
    """The tensors among arguments, however they are nested."""
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, dict):
        yield from tensors_in(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors_in(value)
