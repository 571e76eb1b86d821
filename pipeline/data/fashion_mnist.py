"""Fashion-MNIST: 70,000 pictures of clothes."""

from __future__ import annotations

from typing import ClassVar

from pipeline.data._idx import IdxSource

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


class FashionMnist(IdxSource):
    """Fashion-MNIST: clothes, 28 × 28 grey, 60,000 and 10,000 for the test."""

    kind: ClassVar[str] = "fashion_mnist"
    name: ClassVar[str] = "FashionMNIST"
    title: ClassVar[str] = "Fashion-MNIST, pictures of clothes"
    mean: ClassVar[float] = 0.2860
    std: ClassVar[float] = 0.3530

    def classes(self) -> tuple[str, ...]:
        return CLASSES
