"""Random changes of a batch, on its device, one draw a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Augmentation = Literal["none", "affine", "flip"]


def augmentation(name: Augmentation) -> Callable[[torch.Tensor], torch.Tensor]:
    """The function x_NCHW -> x_NCHW of that name."""
    return {"none": lambda x_NCHW: x_NCHW, "affine": affine, "flip": flip}[name]


def affine(x_NCHW: torch.Tensor, degrees: float = 14.0, scale: float = 0.15, shift: float = 0.12) -> torch.Tensor:
    """Rotate by up to ``degrees``, scale by 1 ± ``scale``, shift by ± ``shift`` half-widths."""
    import torch
    from torch.nn import functional as F

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, device=x_NCHW.device) * 2 - 1

    count = len(x_NCHW)
    angle = uniform(count) * (degrees * torch.pi / 180)
    size = 1 + uniform(count) * scale
    move = uniform(count, 2, 1) * shift
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(count, 2, 2)
    theta = torch.cat([rotation * size.view(-1, 1, 1), move], 2)
    grid = F.affine_grid(theta, list(x_NCHW.shape), align_corners=False)
    return F.grid_sample(x_NCHW, grid, padding_mode="border", align_corners=False)


def flip(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Mirror half of the images left to right."""
    import torch

    chosen = torch.rand(len(x_NCHW), 1, 1, 1, device=x_NCHW.device) < 0.5
    return torch.where(chosen, x_NCHW.flip(3), x_NCHW)
