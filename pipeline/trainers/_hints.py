"""Feature hints: the student's maps shall be the teacher's.

FitNets (Romero et al., 2015). Networks of any two families have a last map each, which mean the same, whatever made
them: the student's is compared through a projection. A network that was pruned inside of its blocks has a map for
every block of its teacher. What is compared is relative to the teacher's map, so that a weight means the same for
every teacher.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from pipeline.errors import StageFailed

POOLINGS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.MaxPool2d)


class Hint(NamedTuple):
    """A layer of the student whose map shall be that of a layer of the teacher.

    Attributes:
        projection: from the student's channels to the teacher's.
    """

    layer: str
    its_layer: str
    projection: nn.Module


class Hinted(nn.Module):
    """A student with the projections of its hints.

    Maps an image batch to logits_NK and the projected maps. Projections are trained along and thrown away with
    this module.
    """

    def __init__(self, student: nn.Module, hints: Sequence[Hint]) -> None:
        super().__init__()
        self.student, self.layers = student, [hint.layer for hint in hints]
        self.projections = nn.ModuleList(hint.projection for hint in hints)

    def forward(self, x_NCHW: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        logits_NK, maps = with_maps(self.student, self.layers, x_NCHW)
        projected = zip(self.projections, maps, strict=True)
        return logits_NK, [projection(map_NCHW) for projection, map_NCHW in projected]


def with_maps(
    module: nn.Module, layers: Sequence[str], x_NCHW: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What the network answers, and what its layers of these names gave last."""
    with watched([(name, module.get_submodule(name)) for name in layers]) as seen:
        logits_NK = module(x_NCHW)
    last = dict(seen)
    return logits_NK, [last[name] for name in layers]


def last_hint(student: nn.Module, teacher: nn.Module, x_NCHW: torch.Tensor) -> list[Hint]:
    """One hint, at the end of two networks of any kinds.

    Args:
        student, teacher: in eval mode. x_NCHW: an example.

    Raises:
        StageFailed: one of them has no map.
    """
    (layer, channels), (its_layer, wanted) = last_map(student, x_NCHW), last_map(teacher, x_NCHW)
    return [Hint(layer, its_layer, nn.Conv2d(channels, wanted, 1))]


def block_hints(student: nn.Module, teacher: nn.Module, x_NCHW: torch.Tensor) -> list[Hint]:
    """A hint at every block of a network that was pruned only inside of its blocks, without projections.

    Args:
        student, teacher: in eval mode, layers named alike. x_NCHW: an example.

    Raises:
        StageFailed: no block of one name gives both a map of one size and as many channels.
    """
    its_maps = block_maps(teacher, x_NCHW)
    alike = [name for name, size in block_maps(student, x_NCHW).items() if its_maps.get(name) == size]
    if not alike:
        cause = "no block of the student gives a map of the size and channels of its teacher's"
        raise StageFailed(cause, "use hint_at: last; blocks are for a pruned teacher, cut with residuals: false")
    return [Hint(name, name, nn.Identity()) for name in alike]


def block_maps(module: nn.Module, x_NCHW: torch.Tensor) -> dict[str, torch.Size]:
    """Sizes of the maps of all layers that are made of layers; one name for each map."""
    found: dict[int, tuple[str, torch.Tensor]] = {}
    blocks = [(name, layer) for name, layer in module.named_modules() if name and any(True for _ in layer.children())]
    with torch.no_grad(), watched(blocks) as seen:
        module(x_NCHW)
    for name, map_NCHW in seen:
        found.setdefault(id(map_NCHW), (name, map_NCHW))  # a stage gives what its last block gave
    return {name: map_NCHW.shape for name, map_NCHW in found.values()}


def last_map(module: nn.Module, x_NCHW: torch.Tensor) -> tuple[str, int]:
    """Name and channels of the last layer that gives a map (N, C, H, W), poolings aside.

    Args:
        module: in eval mode.

    Raises:
        StageFailed: no layer gives one.
    """
    leaves = [(name, layer) for name, layer in module.named_modules() if not any(True for _ in layer.children())]
    with torch.no_grad(), watched([one for one in leaves if not isinstance(one[1], POOLINGS)]) as seen:
        module(x_NCHW)
    if not seen:
        raise StageFailed("a network without convolutions has no map to give or take hints", "set hint: 0")
    name, map_NCHW = seen[-1]
    return name, map_NCHW.shape[1]


@contextmanager
def watched(layers: Sequence[tuple[str, nn.Module]]) -> Iterator[list[tuple[str, torch.Tensor]]]:
    """Every map that these layers give meanwhile, in order."""
    seen: list[tuple[str, torch.Tensor]] = []

    def note(name: str, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            seen.append((name, output))

    with ExitStack() as hooks:
        for name, layer in layers:
            handle = layer.register_forward_hook(lambda _, __, output, name=name: note(name, output))
            hooks.callback(handle.remove)
        yield seen


def distance(map_NCHW: torch.Tensor, wanted_NCHW: torch.Tensor) -> torch.Tensor:
    """Mean squared difference, as a share of the wanted map's mean square; a scalar of at least 0.

    Where the maps differ in size, both are averaged down to the smaller one's rows and columns.
    """
    (height, width), (its_height, its_width) = map_NCHW.shape[2:], wanted_NCHW.shape[2:]
    size = min(height, its_height), min(width, its_width)
    small, wanted = (F.adaptive_avg_pool2d(part.float(), size) for part in (map_NCHW, wanted_NCHW))
    return F.mse_loss(small, wanted) / wanted.square().mean().clamp_min(1e-12)
