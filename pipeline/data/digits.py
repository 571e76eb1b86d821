"""scikit-learn's handwritten digits: 1,797 real scans that come with the package."""

from __future__ import annotations

from typing import ClassVar

from pipeline.dataset import DataSet, Samples, Source, split
from pipeline.images import Held
from pipeline.progress import Progress, silent
from pipeline.spec import InputSpec, Positive

TEST = 0.25
VALIDATION = 0.10


class Digits(Source):
    """Handwritten digits, 8 × 8 grey, inside scikit-learn: no download.

    Attributes:
        size: edge of the network's input, in pixels.
    """

    kind: ClassVar[str] = "digits"
    size: Positive = 16

    def load(self, progress: Progress = silent) -> DataSet:
        import numpy as np
        from sklearn.datasets import load_digits

        spec = InputSpec(size=(self.size, self.size), resize=self.size, color="L", mean=(0.3,), std=(0.35,))
        bunch = load_digits()
        raw = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
        fitted = np.stack([spec.fit(image) for image in raw])
        samples = Samples(Held(fitted), bunch.target.astype(np.int64), spec)
        classes = tuple(str(digit) for digit in range(10))
        splits, test, order = split(samples, (1 - TEST - VALIDATION, VALIDATION, TEST), classes)
        return DataSet(splits, test, tuple(raw[order[:32]]), "scikit-learn's handwritten digits (UCI Optdigits)")
