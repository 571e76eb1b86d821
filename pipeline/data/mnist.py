"""MNIST: 70,000 handwritten digits."""

from __future__ import annotations

from typing import ClassVar

from pipeline.data._idx import IdxSource


class Mnist(IdxSource):
    """MNIST: handwritten digits, 28 × 28 grey, 60,000 and 10,000 for the test."""

    kind: ClassVar[str] = "mnist"
    name: ClassVar[str] = "MNIST"
    title: ClassVar[str] = "MNIST, handwritten digits"
    mean: ClassVar[float] = 0.1307
    std: ClassVar[float] = 0.3081
