"""What a channel is worth that its neighbours could stand in for, and how they do.

A layer that loses inputs can be given other weights, by least squares, so that it says of what is left nearly
what it said of all (He et al., 2017). A channel is worth the error that remains then (Hassibi and Stork's optimal
brain surgeon, 1993, with whole channels for weights), as far as the answers hear of it, for what it costs to keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from pipeline.pruners.channels import Groups
from pipeline.pruners.gains import GAIN, PLACES

if TYPE_CHECKING:
    import torch

    State = Mapping[str, torch.Tensor]

MOMENTS = ".moments"  # behind a layer's name: what ``moments`` gives
RIDGE = 1e-3  # of the mean moment; keeps features that are nearly the same from cancelling each other


class Reader:
    """A layer that reads channels of a space, as they go one after the other.

    Attributes:
        own: (F,) whether a feature is of the space. channels: of those features.
        weight_KFT: outputs, features, taps; those left make up for those that are gone.
        inverse_FF: of the moments of the features that are left.
        gain: what the answers hear of an error in its output.
    """

    def __init__(
        self,
        own: torch.Tensor,
        channels: torch.Tensor,
        weight: torch.Tensor,
        moments_FF: torch.Tensor,
        gain: float = 1.0,
    ) -> None:
        import torch

        self.own, self.channels, self.gain = own, channels, gain
        self.weight_KFT = weight.double().reshape(*weight.shape[:2], -1)
        self.inverse_FF = torch.linalg.inv(damped(moments_FF))

    def errors(self, size: int) -> torch.Tensor:
        """(C,) what the answers hear of it, as a mean square, if this channel goes next."""
        import torch

        lost_F = self.weight_KFT.square().sum((0, 2)) / self.inverse_FF.diagonal() * self.gain
        return torch.zeros(size, dtype=torch.double).index_add_(0, self.channels, lost_F[self.own])

    def remove(self, channel: int) -> None:
        """Let the features that are left make up for those of a channel."""
        import torch

        for feature in self.own.nonzero().flatten()[self.channels == channel].tolist():
            column_F = self.inverse_FF[:, feature].clone()
            share_F = column_F / column_F[feature]
            self.weight_KFT -= torch.einsum("kt,f->kft", self.weight_KFT[:, feature].clone(), share_F)
            self.inverse_FF -= torch.outer(column_F, share_F)
            # Exactly: what rounding leaves would grow with every feature that goes.
            self.weight_KFT[:, feature] = 0
            self.inverse_FF[feature], self.inverse_FF[:, feature] = 0, 0
            self.inverse_FF[feature, feature] = 1


def errors(tensors: State, groups: Groups, space: int) -> torch.Tensor | None:
    """What it costs to remove each channel of a space, once those that cost less are gone.

    Args:
        tensors: weights, moments of what layers read, and their gains and places.

    Returns:
        (C,) float32 mean squares of the change of all logits, for every multiply-add that is saved, so that spaces can
        be compared; None where no moments are known.
    """
    import torch

    readers, size = list(_readers(tensors, groups, space)), groups.sizes[space]
    if not readers:
        return None
    score_C, left_C, least = torch.zeros(size), torch.ones(size, dtype=torch.bool), 0.0
    saved = work(tensors, groups, space)
    for _ in range(size):
        error_C = torch.stack([reader.errors(size) for reader in readers]).sum(0)
        channel = int(error_C.masked_fill(~left_C, torch.inf).argmin())
        # No less than what went before: a channel that became cheap meanwhile is not the next one's measure.
        least = max(least * (1 + 1e-6), float(error_C[channel]))
        score_C[channel], left_C[channel] = least, False
        for reader in readers:
            reader.remove(channel)
    return score_C / saved


def work(tensors: State, groups: Groups, space: int) -> float:
    """Multiply-adds of one image that each channel of a space costs, while all other channels are there."""
    total = 0.0
    for layer in groups.layers:
        weight, places = tensors.get(f"{layer.name}.weight"), tensors.get(f"{layer.name}{PLACES}")
        if weight is None or places is None:
            continue
        for features in (layer.makes, layer.reads):
            if features is not None:
                total += float(places) * weight.numel() * float((features.spaces == space).double().mean())
    return max(total, 1.0) / groups.sizes[space]


def _readers(tensors: State, groups: Groups, space: int) -> Iterator[Reader]:
    for layer in groups.layers:
        moments_FF = tensors.get(f"{layer.name}{MOMENTS}")
        if layer.reads is None or moments_FF is None:
            continue
        own = layer.reads.spaces == space
        if own.any():
            weight, gain = tensors[f"{layer.name}.weight"], float(tensors[f"{layer.name}{GAIN}"])
            yield Reader(own, layer.reads.channels[own], weight, moments_FF, gain)


def compensation(weight: torch.Tensor, kept: torch.Tensor, moments_FF: torch.Tensor) -> torch.Tensor:
    """The weights of some inputs with which a layer comes nearest to what it gave with all.

    Args:
        weight: (K, F, …) of all. kept: (G,) the inputs that stay.

    Returns:
        (K, G, …) of ``weight``'s kind of numbers.
    """
    import torch

    gone = torch.ones(weight.shape[1], dtype=torch.bool)
    gone[kept] = False
    share_GR = torch.linalg.solve(damped(moments_FF[kept][:, kept]), moments_FF[kept][:, gone])
    made_up = torch.einsum("kr...,gr->kg...", weight[:, gone].double(), share_GR)
    return (weight[:, kept].double() + made_up).to(weight.dtype)


def damped(moments_FF: torch.Tensor) -> torch.Tensor:
    """Moments that can be inverted, whatever features there are."""
    import torch

    least = RIDGE * float(moments_FF.diagonal().mean()) or 1.0
    return moments_FF + least * torch.eye(len(moments_FF), dtype=moments_FF.dtype)
