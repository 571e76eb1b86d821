"""Changes of normalized images: parts that are taken out, and images that are mixed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pipeline.trainers.augment import uniform
from pipeline.trainers.plan import Change

if TYPE_CHECKING:
    import torch


def mixed(
    x_NCHW: torch.Tensor, labels_N: torch.Tensor, changes: Iterable[Change], classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and targets after the changes that take out or mix.

    Returns:
        x_NCHW, and the labels as they were or, where images were mixed, probabilities (N, K).
    """
    from torch.nn import functional as F

    targets = labels_N
    for change in changes:
        if change == "cutout":
            x_NCHW = x_NCHW * ~squares(x_NCHW, 0.5)
        elif change in ("mixup", "cutmix"):
            x_NCHW, share_N = _blended(x_NCHW) if change == "mixup" else _pasted(x_NCHW)
            own_NK = F.one_hot(targets, classes).float() if targets.ndim == 1 else targets
            targets = share_N[:, None] * own_NK + (1 - share_N[:, None]) * own_NK.roll(1, 0)
    return x_NCHW, targets


def squares(x_NCHW: torch.Tensor, edge: float | torch.Tensor) -> torch.Tensor:
    """True in a square of ``edge`` times the image's edges around a random point: (N, 1, H, W)."""
    height, width = x_NCHW.shape[2:]
    rows, columns = (_band(x_NCHW, length, edge) for length in (height, width))
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def _band(x_NCHW: torch.Tensor, length: int, edge: float | torch.Tensor) -> torch.Tensor:
    """True within half of ``edge`` of a random position: (N, length)."""
    import torch

    centre = torch.randint(length, (len(x_NCHW), 1), device=x_NCHW.device)
    distance = (torch.arange(length, device=x_NCHW.device) - centre).abs()
    return distance < length * edge / 2


def _blended(x_NCHW: torch.Tensor, alpha: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    """Each image mixed with its neighbour (mixup, Zhang et al., 2018), and its own share (N,)."""
    import torch

    # A Beta(α, α) of CPU draws; the larger share stays the image's own.
    share = torch.distributions.Beta(alpha, alpha).sample((len(x_NCHW),)).to(x_NCHW.device)
    share_N = torch.maximum(share, 1 - share)
    own = share_N.view(-1, 1, 1, 1)
    return own * x_NCHW + (1 - own) * x_NCHW.roll(1, 0), share_N


def _pasted(x_NCHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A random square of the neighbour in each image (CutMix, Yun et al., 2019), and its own share (N,)."""
    import torch

    edge_N1 = ((uniform(x_NCHW, 1) + 1) / 2).sqrt()
    foreign_N1HW = squares(x_NCHW, edge_N1)
    pasted_NCHW = torch.where(foreign_N1HW, x_NCHW.roll(1, 0), x_NCHW)
    return pasted_NCHW, 1 - foreign_N1HW.float().mean((1, 2, 3))
