"""A network with fewer channels, and the surgery that makes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.model import AnyBlueprint, Blueprint
from pipeline.pruners.groups import Groups
from pipeline.spec import Positive

if TYPE_CHECKING:
    import torch
    from torch import nn

    Kept = Mapping[int, torch.Tensor]  # root space -> sorted channel indices


class Resized(Blueprint):
    """Another blueprint's network with other widths.

    Attributes:
        of: the blueprint of the network before pruning.
        widths: (outputs, inputs) of every layer that differs, by its name.
    """

    of: AnyBlueprint
    widths: Mapping[str, tuple[Positive, Positive]]

    def skeleton(self) -> nn.Module:
        module = self.of.skeleton()
        for name, (outputs, inputs) in self.widths.items():
            resize(module.get_submodule(name), outputs, inputs)
        return module.eval()


def resize(layer: nn.Module, outputs: int, inputs: int) -> None:
    """Give one layer other widths, in place; its weights lose their meaning."""
    from torch import nn

    def fresh(tensor: torch.Tensor | None, *shape: int) -> nn.Parameter | None:
        return None if tensor is None else nn.Parameter(tensor.new_zeros(shape))

    if isinstance(layer, nn.BatchNorm2d):
        layer.__init__(outputs, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)  # type: ignore[misc]
    elif isinstance(layer, nn.Conv2d):
        depthwise = layer.groups > 1
        layer.groups = outputs if depthwise else 1
        layer.out_channels, layer.in_channels = outputs, inputs
        weight = fresh(layer.weight, outputs, 1 if depthwise else inputs, *layer.kernel_size)
        layer.weight, layer.bias = weight, fresh(layer.bias, outputs)  # type: ignore[assignment]
    elif isinstance(layer, nn.Linear):
        layer.out_features, layer.in_features = outputs, inputs
        layer.weight = fresh(layer.weight, outputs, inputs)  # type: ignore[assignment]
        layer.bias = fresh(layer.bias, outputs)  # type: ignore[assignment]


def operate(
    state: Mapping[str, torch.Tensor], groups: Groups, kept: Kept
) -> tuple[dict[str, torch.Tensor], dict[str, tuple[int, int]]]:
    """Cut a network's tensors down to the kept channels.

    Args:
        kept: the channels to keep of each pruned space; other spaces stay whole.

    Returns:
        the new state, and (outputs, inputs) of every layer whose shape changed.
    """
    smaller = dict(state)
    widths: dict[str, tuple[int, int]] = {}
    for layer in groups.layers:
        out = _features(layer.makes, groups, kept)
        into = None if layer.reads is None else _features(layer.reads, groups, kept)
        changed = False
        for suffix in ("weight", "bias", "running_mean", "running_var"):
            name = f"{layer.name}.{suffix}"
            if name in state:
                smaller[name] = _cut(state[name], out, into)
                changed |= smaller[name].shape != state[name].shape
        if changed:
            widths[layer.name] = (len(out), len(out if into is None else into))
    return smaller, widths


def _cut(tensor: torch.Tensor, out: torch.Tensor, into: torch.Tensor | None) -> torch.Tensor:
    cut = tensor[out]
    return cut[:, into] if into is not None and tensor.ndim > 1 else cut


def _features(layout: tuple[tuple[int, int], ...], groups: Groups, kept: Kept) -> torch.Tensor:
    """Indices of the kept features of a tensor with that layout."""
    import torch

    parts, offset = [], 0
    for space, repeat in layout:
        root = groups.root(space)
        channels = kept.get(root, torch.arange(groups.sizes[root]))
        parts.append((offset + channels[:, None] * repeat + torch.arange(repeat)).flatten())
        offset += groups.sizes[root] * repeat
    return torch.cat(parts)
