"""Channels that must be kept or removed together, as values.

A *space* is a set of channels that are chosen among each other: those of one convolution or linear
layer, or of several whose outputs are added. What cannot be followed is in space ``FROZEN``, which is
never pruned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

    from pipeline.pruners._flow import Flow

FROZEN = 0


def by_place(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """(N, P, F) what a layer reads or gives: of every image, at every place, all features."""
    from torch import nn

    by_feature = x if isinstance(layer, nn.Linear) else x.movedim(1, -1)
    return by_feature.flatten(1, -2) if by_feature.ndim > 2 else by_feature[:, None]


@dataclass(frozen=True, eq=False)
class Features:
    """What stands along an axis of a layer: of every feature the channel that it belongs to.

    A flattened channel stands there once for every pixel.

    Attributes:
        spaces: (F,) its space. channels: (F,) its number in that space.
    """

    spaces: torch.Tensor
    channels: torch.Tensor

    def counts(self) -> dict[int, int]:
        """Features of each space, in the unpruned network."""
        spaces, counts = self.spaces.unique(return_counts=True)
        return dict(zip(spaces.tolist(), counts.tolist(), strict=True))


@dataclass(frozen=True)
class Layer:
    """One layer with channels: which it reads and which it makes.

    Attributes:
        form: what kind of layer it is, whatever its name and widths.
        reads: what stands along its input axis; None where its weight has none (BatchNorm, depthwise), because
            its channels follow ``makes`` alone.
        makes: what stands along its output axis.
        groups: of a grouped convolution, else 1.
    """

    name: str
    form: str
    reads: Features | None
    makes: Features
    groups: int = 1


@dataclass(frozen=True)
class Groups:
    """Channels that go together.

    Attributes:
        layers: in the order of execution.
        sizes: channels of each prunable space, in the order of execution.
        makers: names of the layers that make a space's channels.
        together: spaces that must have the same width, because a shuffle mixes them; every prunable space
            is in one such tuple, most of them alone.
        multiples: a space's width must be a multiple of this.
        flow: follows the filters of the network with other widths, by space; those left out stay whole.
    """

    layers: tuple[Layer, ...]
    sizes: Mapping[int, int]
    makers: Mapping[int, tuple[str, ...]]
    together: tuple[tuple[int, ...], ...]
    multiples: Mapping[int, int]
    flow: Callable[[Mapping[int, int]], Flow]

    @property
    def prunable(self) -> tuple[int, ...]:
        return tuple(self.sizes)

    def width(self, features: Features, widths: Mapping[int, int]) -> int:
        """How many features are left, if the spaces have those widths; those left out stay whole."""
        counts = features.counts()
        pruned = counts.keys() & widths.keys() & self.sizes.keys()
        return sum(
            count * widths[space] // self.sizes[space] if space in pruned else count for space, count in counts.items()
        )
