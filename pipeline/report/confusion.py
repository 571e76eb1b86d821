"""Which classes the chosen variant takes for which: a heat map, or the most frequent confusions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from pipeline.predictions import Predictions
from pipeline.report import words
from pipeline.results import Results

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_CLASSES, MOST_CONFUSIONS = 20, 20
# Pixels of the picture, and letters.
CELL, LETTER, LABEL_LENGTH, UPRIGHT_LENGTH = 34, 7, 14, 3


class Square(NamedTuple):
    """One cell of the heat map, from its corner. share: of the true class's images, 0 to 1."""

    x: int
    y: int
    images: int
    share: float
    right: bool


class Axis(NamedTuple):
    """A class beside its row and above its column. place: of the cell's middle."""

    label: str
    place: int


class HeatMap(NamedTuple):
    """What the picture is drawn from. left, top: room for the labels; edge: of all squares. turned: labels above."""

    squares: list[Square]
    axis: list[Axis]
    left: int
    top: int
    edge: int
    turned: bool


class Confusion(NamedTuple):
    """One pair of classes. share: of the true class's images."""

    true: str
    said: str
    images: int
    share: float


class Mixed(NamedTuple):
    """A confusion matrix for people: all of it where there are few classes, else the largest confusions.

    Attributes:
        counts: by true class, then by said class; none where there are too many.
    """

    classes: list[str]
    counts: list[list[int]]
    heat_map: HeatMap | None
    frequent: list[Confusion]


def confusion(results: Results, predictions: Predictions, variant: int) -> Mixed:
    """What one variant said of the test images, by class."""
    classes = [words.plain(name) for name in results.classes]
    counts_KK = _counts(predictions, variant, len(classes))
    few = len(classes) <= MOST_CLASSES
    frequent = sorted(_confusions(classes, counts_KK), key=lambda confusion: -confusion.images)
    return Mixed(
        classes=classes,
        counts=counts_KK.tolist() if few else [],
        heat_map=_heat_map(classes, counts_KK) if few else None,
        frequent=frequent[:MOST_CONFUSIONS],
    )


def _counts(predictions: Predictions, variant: int, classes: int) -> NDArray[np.int64]:
    import numpy as np

    counts_KK = np.zeros((classes, classes), np.int64)
    np.add.at(counts_KK, (predictions.labels_N, predictions.top1_VN[variant]), 1)
    return counts_KK


def _confusions(classes: Sequence[str], counts_KK: NDArray[np.int64]) -> Iterator[Confusion]:
    totals = counts_KK.sum(axis=1)
    for true, said in zip(*counts_KK.nonzero(), strict=True):
        if true != said:
            count = int(counts_KK[true, said])
            yield Confusion(classes[true], classes[said], count, count / int(totals[true]))


def _heat_map(classes: Sequence[str], counts_KK: NDArray[np.int64]) -> HeatMap:
    labels = [words.shortened(name, LABEL_LENGTH) for name in classes]
    longest = max(map(len, labels), default=0)
    totals = counts_KK.sum(axis=1)
    squares = [
        Square(CELL * said, CELL * true, count, count / max(1, int(totals[true])), true == said)
        for true, row in enumerate(counts_KK.tolist())
        for said, count in enumerate(row)
    ]
    axis = [Axis(label, CELL * place + CELL // 2) for place, label in enumerate(labels)]
    left, turned = LETTER * longest + 12, longest > UPRIGHT_LENGTH
    return HeatMap(squares, axis, left, left if turned else 22, CELL * len(labels), turned)
