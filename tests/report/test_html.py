from __future__ import annotations

import base64
import hashlib
import re
import time
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from pipeline.report.html import render
from pipeline.results import Recommendation

from .example import around, example_results, renamed

RESULTS = example_results()
SMALL = example_results(4)
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
VOID = {"meta", "br", "img", "link", "hr", "input", "col"}


class Page(HTMLParser):
    """What a page holds; refuses tags that are closed out of order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inline: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.inline[self.open[-1]] = data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text() -> str:
    return render(RESULTS)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_every_variant_and_the_recommendation_are_there(page: Page) -> None:
    assert RESULTS.recommendation.sentence in page.text
    assert all(variant.recipe in page.text and variant.runtime in page.text for variant in RESULTS.variants)
    rows = [attributes for attributes in page.attributes("td") if "data-sort" in attributes]
    assert len(rows) == len(RESULTS.variants) * (10 + 10)


def test_the_contents_come_in_order(page: Page) -> None:
    headings = ["Recommendation", "Accuracy against latency", "Variants", "How each was made", "Parity and checks"]
    headings += ["Time", "Conditions", "Machine", "Versions", "Budget", "Benchmark", "Reproduce"]
    places = [page.words.index(heading) for heading in headings]
    assert places == sorted(places)


def test_how_it_was_made_and_measured_is_told(page: Page) -> None:
    for said in ("epochs 30, learning_rate 0.02", "Example CPU 9000", "2.11.0"):
        assert said in page.text
    for said in ("1.50 points", "8.00 MB", "6 ms", "rounds", "33.6 GB", "cached", "done"):
        assert said in page.text
    assert "edgewright show digits > study.yaml edgewright run study.yaml" in page.text
    assert RESULTS.variants[13].note in page.text


def test_what_to_know_of_the_data_is_told() -> None:
    told = {"warnings": ("7 images of test are in train too",), "splits": {"train": 70, "test": 20}}
    text = Page(render(SMALL.model_copy(update=told))).text
    assert "Note: 7 images of test are in train too" in text
    assert "(70 train, 20 test)" in text


def test_a_screen_reader_finds_its_way(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert len(page.attributes("caption")) == len(page.attributes("table")) == 3
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.attributes("th"))
    assert page.attributes("html") == [{"lang": "en"}]
    picture = page.attributes("svg")[0]
    assert picture["role"] == "img"
    assert "Recommended: " in (picture["aria-label"] or "")


def test_labels_point_at_ids_that_are_there_once(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes} <= set(ids)


def test_nothing_is_loaded_from_anywhere(page: Page, text: str) -> None:
    assert set(re.findall(r"[a-z]+://[^\s\"<]*", text)) == {"http://www.w3.org/2000/svg"}
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    assert "@import" not in text
    assert "url(" not in page.inline["style"]


def test_the_policy_allows_exactly_the_inline_text(page: Page) -> None:
    [policy] = [a["content"] or "" for a in page.attributes("meta") if "Content-Security-Policy" in a.values()]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inline[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert not any("style" in attributes or "onclick" in attributes for _, attributes in page.tags)


def test_hostile_text_stays_text() -> None:
    results = renamed(
        SMALL,
        1,
        recipe=HOSTILE,
        runtime=HOSTILE,
        format=HOSTILE,
        note=HOSTILE,
        parent=HOSTILE,
        versus_parent=around(1.6, 0.1),
        lineage=({HOSTILE: {HOSTILE: HOSTILE}}, {"teacher": [HOSTILE, {"nested": HOSTILE}]}),
    )
    everywhere = {
        "study": HOSTILE,
        "data": HOSTILE,
        "data_digest": HOSTILE,
        "created": HOSTILE,
        "machine": {HOSTILE: HOSTILE, "load": [HOSTILE]},
        "versions": {HOSTILE: HOSTILE},
        "benchmark": {HOSTILE: HOSTILE},
        "recommendation": Recommendation(variant=1, sentence=HOSTILE),
        "stages": tuple(
            stage.model_copy(update={"label": HOSTILE, "recipe": HOSTILE, "facts": {HOSTILE: HOSTILE}})
            for stage in SMALL.stages
        ),
    }
    hostile = Page(render(results.model_copy(update=everywhere)))
    assert len(hostile.attributes("script")) == 1
    assert hostile.attributes("img") == []
    assert not any("onerror" in attributes for _, attributes in hostile.tags)
    assert HOSTILE in hostile.text


def test_a_study_s_name_is_quoted_for_the_shell() -> None:
    text = Page(render(SMALL.model_copy(update={"study": "a; rm -rf b"}))).text
    assert "edgewright show 'a; rm -rf b' > study.yaml" in text


def test_lineage_takes_whatever_it_is_given() -> None:
    odd = ({"Train": None}, {"data": "abc", "seed": 3}, {"Prune": {"widths": [1, 2, 3]}}, {})
    text = Page(render(renamed(SMALL, 2, lineage=odd))).text
    assert "widths 1 2 3" in text
    assert "seed 3" in text


def test_no_recommendation_is_said_and_shows_no_figures() -> None:
    sentence = "Nothing is within the budget: ship the reference."
    recommendation = Recommendation(variant=None, sentence=sentence)
    page = Page(render(SMALL.model_copy(update={"recommendation": recommendation})))
    assert sentence in page.text
    assert not any(attributes.get("class") == "figures" for attributes in page.attributes("dl"))
    assert not any(attributes.get("class") == "recommended" for attributes in page.attributes("tr"))


def test_a_run_without_stages_or_limits_renders() -> None:
    budget = SMALL.budget.model_copy(update={"max_latency_ms": None, "max_bytes": None})
    bare = SMALL.model_copy(update={"stages": (), "budget": budget, "machine": {}, "benchmark": {}, "versions": {}})
    assert Page(render(bare)).text.count("no limit") == 2


def test_the_same_results_give_the_same_file() -> None:
    assert render(SMALL) == render(example_results(4))


def test_two_hundred_variants_are_quick_and_small() -> None:
    results = example_results(200)
    render(SMALL)
    start = time.process_time()
    text = render(results)
    assert time.process_time() - start < 2
    assert len(text.encode()) < 3_000_000
    assert all(variant.recipe in text for variant in results.variants)
