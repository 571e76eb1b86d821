from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
from PIL import Image

from pipeline.report.details import accuracy, fitting
from pipeline.report.mistakes import mistakes
from pipeline.report.tables import rows
from pipeline.results import Recommendation, Results

from .example import example_predictions, example_results, renamed

RESULTS = example_results(6)
CHOSEN = RESULTS.recommendation.variant
assert CHOSEN is not None


def with_classes(count: int) -> Results:
    named = RESULTS.model_copy(update={"classes": tuple(f"c{number}" for number in range(count))})
    return renamed(named, CHOSEN or 0, per_class=tuple(number / count for number in range(count)))


def test_every_class_is_shown_where_there_are_few() -> None:
    found = accuracy(RESULTS, None, rows(RESULTS))
    assert [entry.name for entry in found.classes] == list(RESULTS.classes)
    assert (found.left_out, found.mixed, found.mistakes) == (0, None, [])
    assert found.of.number - 1 == CHOSEN


def test_the_weakest_classes_are_shown_where_there_are_many() -> None:
    many = with_classes(50)
    found = accuracy(many, None, rows(many))
    assert [entry.name for entry in found.classes] == [f"c{number}" for number in range(20)]
    assert found.left_out == 30


def test_a_class_without_images_is_named_and_has_no_bar() -> None:
    unseen = renamed(RESULTS, CHOSEN or 0, per_class=(None, *[0.9] * 9))
    found = accuracy(unseen, None, rows(unseen))
    assert (len(found.classes), found.unseen) == (9, ["0"])


def test_where_nothing_is_recommended_the_reference_stands_in() -> None:
    none = RESULTS.model_copy(update={"recommendation": Recommendation(variant=None, sentence="None.")})
    assert accuracy(none, None, rows(none)).of.reference


def test_few_classes_have_no_top5() -> None:
    few = renamed(RESULTS, 1, top5=None)
    assert accuracy(few, None, rows(few)).table[1].top5 is None


def test_predictions_must_be_of_these_results() -> None:
    known = example_predictions(RESULTS)
    assert fitting(RESULTS, known) is known
    assert fitting(RESULTS, None) is None
    assert fitting(example_results(5), known) is None
    assert fitting(RESULTS.model_copy(update={"classes": ("a", "b")}), known) is None


def test_mistakes_say_what_they_are_and_hold_their_pixels() -> None:
    known = example_predictions(RESULTS)
    shown = mistakes(RESULTS, known, CHOSEN or 0)
    assert len(shown) == len(known.mistakes_M)
    first, number = shown[0], int(known.mistakes_M[0])
    assert (first.true, first.number) == (str(known.labels_N[number]), number)
    assert first.said == str(known.top1_VN[CHOSEN or 0, number]) != first.true
    png = Image.open(io.BytesIO(base64.b64decode(first.uri.partition(",")[2])))
    assert np.array_equal(np.asarray(png), known.mistakes_MHWC[0, ..., 0])


def test_mistakes_are_few_small_and_in_colour() -> None:
    known = example_predictions(RESULTS, images=2000)
    numbers_M = np.flatnonzero(~known.right_N(CHOSEN or 0)).astype(np.int32)[:30]
    pixels_MHWC = np.full((len(numbers_M), 200, 300, 3), 7, np.uint8)
    shown = mistakes(RESULTS, replace(known, mistakes_M=numbers_M, mistakes_MHWC=pixels_MHWC), CHOSEN or 0)
    assert len(shown) == 24
    png = Image.open(io.BytesIO(base64.b64decode(shown[0].uri.partition(",")[2])))
    assert (png.mode, png.size) == ("RGB", (96, 64))


def test_an_image_that_is_right_is_no_mistake() -> None:
    known = example_predictions(RESULTS)
    right = replace(known, mistakes_M=np.flatnonzero(known.right_N(CHOSEN or 0))[: len(known.mistakes_M)])
    assert mistakes(RESULTS, right, CHOSEN or 0) == []
