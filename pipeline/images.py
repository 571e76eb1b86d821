"""Images by number, wherever they are: in memory, or in files that are decoded when needed."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Images(ABC):
    """A fixed sequence of images that a network's ``InputSpec`` can fit. Never changed."""

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def fitted_NHWC(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        """The images of a slice, resized and cropped: uint8 (N, height, width, channels).

        Raises:
            DataError: an image cannot be decoded; names its file.
        """

    @abstractmethod
    def original(self, index: int) -> NDArray[np.uint8]:
        """One image as large as it is kept, for random crops: uint8 (height, width, channels)."""

    @abstractmethod
    def take(self, indices: NDArray[np.int64]) -> Images:
        """The images of these numbers, in this order."""

    @abstractmethod
    def hashes(self) -> tuple[str, ...]:
        """One hash an image; equal hashes are equal images."""

    def held(self) -> Held:
        """The same images, fitted and in memory."""
        return Held(self.fitted_NHWC(), self.hashes())


@dataclass(frozen=True, eq=False)
class Held(Images):
    """Fitted images in memory.

    Attributes:
        array_NHWC: uint8 (N, height, width, channels).
        names: one hash an image where it has one from before it was fitted; else its pixels give it.
    """

    array_NHWC: NDArray[np.uint8]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.array_NHWC)

    def fitted_NHWC(self, start: int = 0, stop: int | None = None) -> NDArray[np.uint8]:
        return self.array_NHWC[start:stop]

    def original(self, index: int) -> NDArray[np.uint8]:
        image_HWC: NDArray[np.uint8] = self.array_NHWC[index]
        return image_HWC

    def take(self, indices: NDArray[np.int64]) -> Held:
        names = tuple(self.names[index] for index in indices.tolist()) if self.names else ()
        return Held(self.array_NHWC[indices], names)

    def hashes(self) -> tuple[str, ...]:
        return self.names or tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in self.array_NHWC)
