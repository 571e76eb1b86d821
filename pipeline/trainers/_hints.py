"""Feature hints: the student's last map, seen through a projection, shall be the teacher's.

FitNets (Romero et al., 2015) with one hint, at the end of the network, where it serves networks
of any two families: their last maps mean the same, whatever made them. What is compared is
relative to the teacher's map, so that a weight means the same for every teacher.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from pipeline.errors import StageFailed

POOLINGS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.MaxPool2d)


class Hinted(nn.Module):
    """A student with a 1 × 1 projection from its last map to the teacher's channels.

    Maps an image batch to logits_NK and the projected map. The projection is trained along
    and thrown away with this module.

    Args:
        layer: name of the student's layer that gives its last map.
        channels, wanted: of the student's last map and of the teacher's.
    """

    def __init__(self, student: nn.Module, layer: str, channels: int, wanted: int) -> None:
        super().__init__()
        self.student, self.layer = student, layer
        self.projection = nn.Conv2d(channels, wanted, 1)

    def forward(self, x_NCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits_NK, map_NCHW = with_map(self.student, self.layer, x_NCHW)
        return logits_NK, self.projection(map_NCHW)


def with_map(module: nn.Module, layer: str, x_NCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the network answers, and what its layer of that name gave last."""
    seen: list[torch.Tensor] = []
    handle = module.get_submodule(layer).register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        logits_NK = module(x_NCHW)
    finally:
        handle.remove()
    return logits_NK, seen[-1]


def last_map(module: nn.Module, x_NCHW: torch.Tensor) -> tuple[str, int]:
    """Name and channels of the last layer that gives a map (N, C, H, W), poolings aside.

    Args:
        module: in eval mode.

    Raises:
        StageFailed: no layer gives one.
    """
    found: list[tuple[str, int]] = []

    def note(name: str, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            found.append((name, output.shape[1]))

    handles = [
        layer.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, layer in module.named_modules()
        if not any(True for _ in layer.children()) and not isinstance(layer, POOLINGS)
    ]
    try:
        with torch.no_grad():
            module(x_NCHW)
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise StageFailed("a network without convolutions has no map to give or take hints", "set hint: 0")
    return found[-1]


def distance(map_NCHW: torch.Tensor, wanted_NCHW: torch.Tensor) -> torch.Tensor:
    """Mean squared difference, as a share of the wanted map's mean square; a scalar of at least 0.

    Where the maps differ in size, both are averaged down to the smaller one's rows and columns.
    """
    (height, width), (its_height, its_width) = map_NCHW.shape[2:], wanted_NCHW.shape[2:]
    size = min(height, its_height), min(width, its_width)
    small, wanted = (F.adaptive_avg_pool2d(part.float(), size) for part in (map_NCHW, wanted_NCHW))
    return F.mse_loss(small, wanted) / wanted.square().mean().clamp_min(1e-12)
