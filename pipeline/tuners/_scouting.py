"""Where int8 does most harm to the logits, on a few images: what is worth a measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
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
    _known: dict[Floats, list[Floats]] = field(default_factory=dict)

    def proposed(self, candidates: int, most: int, floats: Floats) -> list[Floats]:
        """Choices with more float layers, those that take away most noise, in dB a layer, first.

        Args:
            candidates: at most so many choices. most: layers in a choice; one is int8 in any case.
        """
        most = self._allowed(most)
        return [choice for choice in self._ranked(floats) if len(choice) <= most][:candidates]

    def loudest(self, most: int, floats: Floats) -> Floats:
        """As many layers as may be float, those that take away most noise: the choices that come first, together."""
        most, together = self._allowed(most), floats
        for choice in self._ranked(floats):
            wider = self.network.ordered({*together, *choice})
            together = wider if len(wider) <= most else together
        return together

    def _allowed(self, most: int) -> int:
        return min(most, len(self.network.layers) - 1)

    def _ranked(self, floats: Floats) -> list[Floats]:
        """Every least choice with more float layers, by the dB a layer that it takes away; found once."""
        if floats not in self._known:
            self._known[floats] = self._compared(floats)
        return self._known[floats]

    def _compared(self, floats: Floats) -> list[Floats]:
        wider = (self.network.ordered({*floats, *unit}) for unit in self.network.units())
        choices = [choice for choice in dict.fromkeys(wider) if len(choice) > len(floats)]
        now, *powers = noise(self.network, self.x_NCHW, floats, [floats, *choices], self.progress).powers
        gained = {
            choice: (math.log(max(now, LEAST)) - math.log(max(power, LEAST))) / (len(choice) - len(floats))
            for choice, power in zip(choices, powers, strict=True)
        }
        return sorted(choices, key=lambda choice: -gained[choice])
