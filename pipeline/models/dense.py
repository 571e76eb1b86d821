"""The perceptron (Rosenblatt, 1958) and the multilayer perceptron (Rumelhart et al., 1986)."""

from __future__ import annotations

from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.models.architecture import Architecture, Shape
from pipeline.spec import Positive

if TYPE_CHECKING:
    from torch import nn


class Dense(Architecture):
    """Linear layers over all pixels: a perceptron, or with hidden layers an MLP.

    Attributes:
        hidden: features of each hidden layer, rectified; [] is the perceptron.
        dropout: share of the hidden features that a training step leaves out.
    """

    hidden: tuple[Positive, ...] = (512, 256)
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2

    def network(self, shape_CHW: Shape, classes: int) -> nn.Module:
        from torch import nn

        widths = (prod(shape_CHW), *self.hidden)
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(self.dropout)]
        return nn.Sequential(*layers, nn.Linear(widths[-1], classes))
