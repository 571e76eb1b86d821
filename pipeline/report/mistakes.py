"""Test images that the chosen variant gets wrong, as pictures that need no file beside the page."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, NamedTuple

from pipeline.predictions import Predictions
from pipeline.report import words
from pipeline.results import Results

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST = 24
LARGEST_PIXELS = 96


class Mistake(NamedTuple):
    """One image. uri: a PNG within a ``data:`` address. confidence: per cent."""

    uri: str
    true: str
    said: str
    confidence: str
    number: int


def mistakes(results: Results, predictions: Predictions, variant: int) -> list[Mistake]:
    """The images that travel with the predictions and that this variant gets wrong, a few at most."""
    classes = [words.plain(name) for name in results.classes]
    wrong_N = ~predictions.right_N(variant)
    pairs = zip(predictions.mistakes_M.tolist(), predictions.mistakes_MHWC, strict=True)
    return [
        Mistake(
            uri=_uri(image_HWC),
            true=classes[predictions.labels_N[number]],
            said=classes[predictions.top1_VN[variant, number]],
            confidence=f"{words.fixed(100 * float(predictions.confidence_VN[variant, number]), 0)} %",
            number=number,
        )
        for number, image_HWC in pairs
        if wrong_N[number]
    ][:MOST]


def _uri(image_HWC: NDArray[np.uint8]) -> str:
    from PIL import Image

    pixels = image_HWC[..., 0] if image_HWC.shape[-1] == 1 else image_HWC
    image = Image.fromarray(pixels)
    # The page shows them small: more pixels would only make it heavy.
    image.thumbnail((LARGEST_PIXELS, LARGEST_PIXELS))
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
