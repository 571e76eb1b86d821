from __future__ import annotations

import numpy as np

from pipeline.predictions import Predictions
from pipeline.report.confusion import Mixed, confusion

from .example import example_predictions, example_results

RESULTS = example_results(4)


def answered(labels: list[int], said: list[int], classes: int = 10) -> Mixed:
    labels_N, said_N = np.array(labels, np.int32), np.array(said, np.int32)
    predictions = Predictions(
        labels_N, said_N[None], np.ones((1, len(labels)), np.float32), labels_N[:0], np.zeros((0, 8, 8, 1), np.uint8)
    )
    named = RESULTS.model_copy(update={"classes": tuple(f"class {number}" for number in range(classes))})
    return confusion(named, predictions, 0)


def test_rows_are_the_truth_and_columns_the_answer() -> None:
    mixed = answered([0, 0, 0, 1], [0, 2, 2, 1])
    assert mixed.counts[0][:3] == [1, 0, 2]
    assert mixed.counts[1][1] == 1
    assert [tuple(entry) for entry in mixed.frequent] == [("class 0", "class 2", 2, 2 / 3)]


def test_the_picture_holds_every_count_at_its_place() -> None:
    predictions = example_predictions(RESULTS)
    mixed = confusion(RESULTS, predictions, 2)
    assert mixed.heat_map is not None
    assert len(mixed.heat_map.squares) == 100
    assert sum(map(sum, mixed.counts)) == len(predictions.labels_N)
    square = mixed.heat_map.squares[34]
    assert (square.x // 34, square.y // 34) == (4, 3)
    assert square[2] == mixed.counts[3][4]
    assert [square.right for square in mixed.heat_map.squares].count(True) == 10


def test_long_names_stand_upright_and_short_ones_do_not() -> None:
    long, short = answered([0], [0]).heat_map, confusion(RESULTS, example_predictions(RESULTS), 0).heat_map
    assert long is not None
    assert short is not None
    assert (long.turned, short.turned) == (True, False)
    assert long.top > short.top


def test_many_classes_give_only_the_most_frequent_confusions() -> None:
    labels = [number % 100 for number in range(1000)]
    mixed = answered(labels, [0 if number % 3 else number for number in labels], classes=100)
    assert mixed.heat_map is None
    assert mixed.counts == []
    assert len(mixed.frequent) == 20
    assert [entry.images for entry in mixed.frequent] == sorted(
        (entry.images for entry in mixed.frequent), reverse=True
    )


def test_without_mistakes_there_is_no_confusion() -> None:
    assert answered([0, 1], [0, 1]).frequent == []
