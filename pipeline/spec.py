"""Plain values: how an image becomes a network's input, and what a study may cost."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Positive = Annotated[int, Field(gt=0)]
Interpolation = Literal["bilinear", "bicubic"]
Dtype = Literal["float32", "uint8"]
Ratio = Annotated[float, Field(ge=0, le=1)]
EXACT = 1e-3  # of a pixel
# Halves are common, as weights are simple fractions; so they go up even where a sum in another order ends just below.
HALVES_UP = 0.5 + 2**-10
# What a folder may be called anywhere.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Value(BaseModel):
    """A frozen pydantic value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PixelGrid(NamedTuple):
    """Normalization as steps of one pixel: ``scale · factor · (pixel - zero_point + shift)`` for each channel.

    Attributes:
        zero_point: the pixel nearest to what normalizes to zero, for all channels together.
        factors: in (0, 1], 1 for the channel of the least std. shifts: in pixels.
    """

    scale: float
    zero_point: int
    factors: tuple[float, ...]
    shifts: tuple[float, ...]

    @property
    def exact(self) -> bool:
        """Every pixel is a whole step of ``scale``, and ``zero_point`` is zero: nothing else is to be done."""
        return max(self.factors) - min(self.factors) < EXACT and max(map(abs, self.shifts)) < EXACT


class InputSpec(Value):
    """The only description of preprocessing, travelling with the weights as data.

    A uint8 image of any size is resized so that its shorter edge is ``resize`` (antialiased,
    half-pixel centres, rounded to uint8), cropped at the centre to ``size`` and normalized:
    ``(x / 255 - mean) / std``, by whoever calls the network or, where ``dtype`` is uint8, by itself.

    Attributes:
        size: (height, width) of the network's input, in pixels.
        resize: shorter edge before the crop, in pixels; at least the larger of ``size``.
        color: "RGB" (three channels, that order) or "L" (one grey channel).
        mean: one value a channel, in units of the 0…1 image.
        std: one positive value a channel, in units of the 0…1 image.
        interpolation: "bilinear" or "bicubic"; what the weights were trained with.
        dtype: "float32" where the network takes normalized images, "uint8" where it takes the pixels.
    """

    size: tuple[Positive, Positive]
    resize: Positive
    color: Literal["RGB", "L"] = "RGB"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (0.229, 0.224, 0.225)
    interpolation: Interpolation = "bilinear"
    # Left out where it is the usual one, so that what was written before it was there stays what it was.
    dtype: Annotated[Dtype, Field(exclude_if=lambda dtype: dtype == "float32")] = "float32"

    @model_validator(mode="after")
    def _consistent(self) -> InputSpec:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need {self.channels} value(s) for {self.color}")
        if self.resize < max(self.size):
            raise ValueError(f"resize {self.resize} is smaller than size {self.size}")
        return self

    @property
    def channels(self) -> int:
        return 3 if self.color == "RGB" else 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one network input."""
        return (self.channels, *self.size)

    @property
    def pixel_grid(self) -> PixelGrid:
        """
        >>> InputSpec(size=(4, 4), resize=4, color="L", mean=(0.5,), std=(0.5,)).pixel_grid.shifts
        (0.5,)
        """
        zeros, least = [255 * mean for mean in self.mean], min(self.std)
        zero_point = min(max(round(sum(zeros) / len(zeros)), 0), 255)
        shifts = tuple(zero_point - zero for zero in zeros)
        return PixelGrid(1 / (255 * least), zero_point, tuple(least / std for std in self.std), shifts)

    def fits_as(self, other: InputSpec) -> bool:
        """Whether both make the same pixels; they may normalize them differently."""
        pixels = {"size", "resize", "color", "interpolation"}
        return self.model_dump(include=pixels) == other.model_dump(include=pixels)

    def fit(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize and crop one uint8 image of any size to (height, width, channels).

        As torchvision's ``Resize`` and ``CenterCrop`` of a Pillow image: the same cut, the same bytes but for single
        steps.
        """
        height, width = image_HWC.shape[:2]
        rows, columns = (edge * self.resize // min(height, width) for edge in (height, width))
        return self._resampled(image_HWC, rows, columns)

    def stretch(self, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize one uint8 image to (height, width, channels) and crop nothing: for random parts in training."""
        return self._resampled(image_HWC, *self.size)

    def _resampled(self, image_HWC: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
        """The centre of the image resized to ``rows`` and ``columns``; whole numbers also between the axes."""
        import numpy as np

        height, width = image_HWC.shape[:2]
        top, left = (round((edge - kept) / 2) for edge, kept in zip((rows, columns), self.size, strict=True))
        vertical = resampling_matrix(height, rows, top, self.size[0], self.interpolation)
        horizontal = resampling_matrix(width, columns, left, self.size[1], self.interpolation)
        narrowed = _whole(np.einsum("hwc,xw->hxc", image_HWC, horizontal, optimize=True))
        return _whole(np.einsum("hwc,yh->ywc", narrowed, vertical, optimize=True)).astype(np.uint8)

    def normalize(self, fitted_NHWC: NDArray[np.uint8]) -> NDArray[Any]:
        """Fitted uint8 images (N, H, W, C) to the network's input (N, C, H, W), float32 or the pixels themselves."""
        import numpy as np

        if self.dtype == "uint8":
            return np.ascontiguousarray(fitted_NHWC.transpose(0, 3, 1, 2))
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        normalized = (fitted_NHWC.astype(np.float32) / 255 - mean) / std
        return np.ascontiguousarray(normalized.transpose(0, 3, 1, 2))


def _whole(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """As bytes hold them."""
    import numpy as np

    whole: NDArray[np.float32] = np.clip(np.floor(pixels + np.float32(HALVES_UP)), 0, 255)
    return whole


@lru_cache(maxsize=256)
def resampling_matrix(
    source: int, target: int, first: int = 0, count: int | None = None, interpolation: Interpolation = "bilinear"
) -> NDArray[np.float32]:
    """Weights (count, source) of antialiased resampling along one axis.

    A triangle or cubic filter with half-pixel centres, widened by the scale when it shrinks:
    what Pillow's ``BILINEAR`` and ``BICUBIC`` and torch's ``antialias=True`` compute. Rows sum
    to one; only ``count`` rows from ``first`` on are computed, all that a crop needs of a very
    long edge.

    >>> resampling_matrix(2, 4).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    import numpy as np

    scale = source / target
    centre = (first + np.arange(target - first if count is None else count) + 0.5) * scale
    distance = np.abs(np.arange(source) + 0.5 - centre[:, None]) / max(scale, 1.0)
    weight = _cubic(distance) if interpolation == "bicubic" else np.clip(1 - distance, 0, None)
    matrix: NDArray[np.float32] = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    return matrix


def _cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cubic convolution kernel with a = -1/2 (Keys, 1981), at distances of at least 0."""
    import numpy as np

    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))


class Budget(Value):
    """What a recommended model may cost.

    Attributes:
        max_drop: largest loss of top-1 against the reference model, as a fraction of 1.
        max_latency_ms: largest p50 latency of one image, in milliseconds.
        max_bytes: largest model file, in bytes.
    """

    max_drop: Ratio = 0.01
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None
    max_bytes: Positive | None = None


def key_of(description: Any) -> str:
    """The content key of JSON-ready data: 24 hex digits of its sha256."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
