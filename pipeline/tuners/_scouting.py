"""Where int8 does most harm to the logits, on a few images: what is worth a measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.progress import Progress
from pipeline.quantizers.sensitivity import noise
from pipeline.tuners._search import Floats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.quantizers._mixed import Mixed

LEAST = 1e-30


@dataclass(frozen=True)
class Scouting:
    """Signal to noise instead of measurements: quick, and of all choices.

    Attributes:
        x_NCHW: the images.
    """

    network: Mixed
    x_NCHW: NDArray[np.float32]
    progress: Progress

    def proposed(self, candidates: int, most: int, floats: Floats) -> list[Floats]:
        """Choices with more float layers, those that take away most noise, in dB a layer, first.

        Args:
            candidates: at most so many choices. most: layers in a choice; one is int8 in any case.
        """
        most = min(most, len(self.network.layers) - 1)
        wider = (self.network.ordered({*floats, *unit}) for unit in self.network.units())
        choices = [choice for choice in dict.fromkeys(wider) if len(floats) < len(choice) <= most]
        now, *powers = noise(self.network, self.x_NCHW, floats, [floats, *choices], self.progress).powers
        gained = {
            choice: (math.log(max(now, LEAST)) - math.log(max(power, LEAST))) / (len(choice) - len(floats))
            for choice, power in zip(choices, powers, strict=True)
        }
        return sorted(choices, key=lambda choice: -gained[choice])[:candidates]

    def all_but_the_quietest(self) -> Floats:
        """All layers but the one that disturbs the logits least where it alone is int8; none where it is the only."""
        layers = self.network.layers
        choices = [self.network.ordered(set(layers) - {layer}) for layer in layers]
        powers = noise(self.network, self.x_NCHW, layers, choices, self.progress).powers
        return choices[powers.index(min(powers))]
