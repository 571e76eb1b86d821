from __future__ import annotations

from xml.etree import ElementTree

from hunting import SPACE, measured

from pipeline.report.html import render
from pipeline.report.searches import searches
from pipeline.results import Results, StageRecord
from pipeline.tuners._combination import Combination, Limit, Tried, told

from .example import example_results

CHOSEN = Combination(ratio=0.3, teaching="teacher", quantization="aware")


def searched() -> Results:
    tried = [measured(combination) for combination in sorted(SPACE.every(), key=lambda one: one.label)]
    failed = Combination(ratio=0.9, teaching="labels", quantization="none")
    tried.append(Tried(combination=failed, failure="the loss became nan <b>"))
    facts = {"search": told(tried, Limit(max_drop=0.01, judged_by="interval"), CHOSEN)}
    stage = StageRecord(label="fast · AccuracyBudget", recipe="fast", key="k", seconds=9.0, status="done", facts=facts)
    return example_results().model_copy(update={"stages": (stage,)})


def test_all_that_was_tried_is_drawn_and_listed() -> None:
    [search] = searches(searched(), "")
    svg = ElementTree.fromstring(search.picture)
    points = [element for element in svg.iter() if element.get("id", "").startswith("search-0-tried-")]
    assert len(points) == 15
    titles = [one for point in points for one in point.iter() if one.tag.endswith("title")]
    assert {title.text for title in titles} == {row.label for row in search.table[:15]}
    assert [row.label for row in search.table if "chosen" in row.mark] == [CHOSEN.label]
    assert search.table[-1].mark == "the loss became nan <b>"
    assert CHOSEN.label in search.alternative


def test_the_page_shows_it_escaped() -> None:
    page = render(searched())
    assert "What fast · AccuracyBudget tried" in page
    assert "the loss became nan &lt;b&gt;" in page
    assert "What fast" not in render(example_results())
