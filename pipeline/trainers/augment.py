"""Random changes of a batch, on its device, one draw a sample.

N samples, C channels, H rows, W columns. Values lie in 0…1 unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from pipeline.trainers.plan import Change

if TYPE_CHECKING:
    import torch

    Operation = Callable[[torch.Tensor], torch.Tensor]


# Of random parts (Szegedy et al., 2015): the least share of the area, and ln(4/3) for 3:4 to 4:3.
LEAST_AREA, LN_RATIO = 0.35, 0.2877


def changed(x_NCHW: torch.Tensor, changes: Iterable[Change]) -> torch.Tensor:
    """The images after every change that moves or colours pixels, in order."""
    for change in changes:
        if change in OPERATIONS:
            x_NCHW = OPERATIONS[change](x_NCHW)
    return x_NCHW


def uniform(x_NCHW: torch.Tensor, *shape: int) -> torch.Tensor:
    """Numbers from -1 to 1 on the images' device: (N, *shape)."""
    import torch

    return torch.rand(len(x_NCHW), *shape, device=x_NCHW.device) * 2 - 1


def flip(x_NCHW: torch.Tensor) -> torch.Tensor:
    """Mirror half of the images left to right."""
    import torch

    return torch.where(uniform(x_NCHW, 1, 1, 1) < 0, x_NCHW.flip(3), x_NCHW)


def crop(x_NCHW: torch.Tensor, share: float = 0.125) -> torch.Tensor:
    """Shift by up to ``share`` of the height and width; what comes in is the mirrored edge."""
    rows, columns = (_shifted(x_NCHW, edge, share) for edge in x_NCHW.shape[2:])
    index = rows[:, None, :, None].expand(-1, x_NCHW.shape[1], -1, x_NCHW.shape[3])
    return x_NCHW.gather(2, index).gather(3, columns[:, None, None, :].expand_as(x_NCHW))


def _shifted(x_NCHW: torch.Tensor, edge: int, share: float) -> torch.Tensor:
    """Source positions along one edge: (N, edge), mirrored at both ends."""
    import torch

    reach = round(share * edge)
    shift = torch.randint(-reach, reach + 1, (len(x_NCHW), 1), device=x_NCHW.device)
    position = (torch.arange(edge, device=x_NCHW.device) + shift).abs()
    return torch.where(position >= edge, 2 * (edge - 1) - position, position).clamp(0, edge - 1)


def affine(x_NCHW: torch.Tensor, degrees: float = 14.0, scale: float = 0.15, shift: float = 0.12) -> torch.Tensor:
    """Rotate by up to ``degrees``, scale by 1 ± ``scale``, shift by ± ``shift`` half-widths."""
    import torch

    angle = uniform(x_NCHW) * (degrees * torch.pi / 180)
    size = 1 + uniform(x_NCHW) * scale
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    return resampled(x_NCHW, rotation * size.view(-1, 1, 1), uniform(x_NCHW, 2) * shift)


def resized_crop(x_NCHW: torch.Tensor, least: float = LEAST_AREA) -> torch.Tensor:
    """A part of each image, at least ``least`` of its area and 3:4 to 4:3, at its full size.

    Photographs in files are cropped before they are resized instead.
    """
    import torch

    area = least + (1 - least) * (uniform(x_NCHW) + 1) / 2
    ratio = (uniform(x_NCHW) * LN_RATIO).exp()  # the ratio and its inverse are as likely
    sizes = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], 1).clamp(max=1)
    return resampled(x_NCHW, torch.diag_embed(sizes), uniform(x_NCHW, 2) * (1 - sizes))


def resampled(x_NCHW: torch.Tensor, linear_N22: torch.Tensor, shift_N2: torch.Tensor) -> torch.Tensor:
    """The images seen through an affine map, in units of half their edges."""
    import torch
    from torch.nn import functional as F

    theta = torch.cat([linear_N22, shift_N2[:, :, None]], 2)
    grid = F.affine_grid(theta, list(x_NCHW.shape), align_corners=False)
    return F.grid_sample(x_NCHW, grid, padding_mode="border", align_corners=False)


def trivial(x_NCHW: torch.Tensor) -> torch.Tensor:
    """One random operation of random strength a sample (TrivialAugment, Müller and Hutter, 2021)."""
    import torch

    # Drawn on the CPU: a GPU need not be waited for to know which samples are whose.
    choice_N = torch.randint(len(TRIVIAL) + 1, (len(x_NCHW),))
    result = x_NCHW.clone()
    for number, operation in enumerate(TRIVIAL):
        chosen = (choice_N == number).nonzero().flatten().to(x_NCHW.device)
        if len(chosen):
            part = x_NCHW[chosen]
            result[chosen] = operation(part, uniform(part, 1, 1, 1)).clamp(0, 1)
    return result


def _brightness(x_NCHW: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    return x_NCHW * (1 + 0.9 * strength)


def _contrast(x_NCHW: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    middle = x_NCHW.mean((1, 2, 3), keepdim=True)
    return middle + (x_NCHW - middle) * (1 + 0.9 * strength)


def _saturation(x_NCHW: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    grey = x_NCHW.mean(1, keepdim=True)
    return grey + (x_NCHW - grey) * (1 + 0.9 * strength)


def _sharpness(x_NCHW: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    from torch.nn import functional as F

    blurred = F.avg_pool2d(x_NCHW, 3, 1, 1, count_include_pad=False)
    return blurred + (x_NCHW - blurred) * (1 + 0.9 * strength)


def _posterize(x_NCHW: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    levels = 2 ** (5 + 3 * strength).round()
    return (x_NCHW * levels).floor().clamp(max=levels - 1) / (levels - 1)


def _solarize(x_NCHW: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.where(x_NCHW > strength.abs(), 1 - x_NCHW, x_NCHW)


def _autocontrast(x_NCHW: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    low, high = x_NCHW.amin((2, 3), keepdim=True), x_NCHW.amax((2, 3), keepdim=True)
    stretched = (x_NCHW - low) / (high - low).clamp(min=1 / 255)
    return x_NCHW + (stretched - x_NCHW) * strength.abs()


def _sheared(x_NCHW: torch.Tensor, strength: torch.Tensor, row: int) -> torch.Tensor:
    import torch

    linear = torch.eye(2, device=x_NCHW.device).repeat(len(x_NCHW), 1, 1)
    linear[:, row, 1 - row] = 0.5 * strength.flatten()
    return resampled(x_NCHW, linear, torch.zeros(len(x_NCHW), 2, device=x_NCHW.device))


def _turned(x_NCHW: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    import torch

    angle = strength.flatten() * torch.pi / 4
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    return resampled(x_NCHW, rotation, torch.zeros(len(x_NCHW), 2, device=x_NCHW.device))


TRIVIAL: tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], ...] = (
    _brightness,
    _contrast,
    _saturation,
    _sharpness,
    _posterize,
    _solarize,
    _autocontrast,
    _turned,
    lambda x_NCHW, strength: _sheared(x_NCHW, strength, 0),
    lambda x_NCHW, strength: _sheared(x_NCHW, strength, 1),
)
OPERATIONS: dict[str, Operation] = {
    "affine": affine,
    "crop": crop,
    "flip": flip,
    "resized_crop": resized_crop,
    "trivial": trivial,
}
