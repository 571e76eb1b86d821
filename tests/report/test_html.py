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

from .example import FAILURES, UNSTABLE, around, elsewhere, example_predictions, example_results, layers_of, renamed

RESULTS = example_results()
PREDICTIONS = example_predictions(RESULTS)
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
    return render(RESULTS, PREDICTIONS)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_every_variant_and_the_recommendation_are_there(page: Page) -> None:
    assert RESULTS.recommendation.sentence in page.text
    assert all(variant.recipe in page.text and variant.runtime in page.text for variant in RESULTS.variants)
    rows = [attributes for attributes in page.attributes("tr") if "data-variant" in attributes]
    assert len(rows) == 4 * len(RESULTS.variants)


def test_the_contents_come_in_order(page: Page) -> None:
    headings = ["Recommendation", "Accuracy against latency", "Variants", "Size and memory", "Accuracy in detail"]
    headings += ["Each class", "Which class is taken for which", "Images it gets wrong", "Parity and checks"]
    headings += ["Layers of the chosen model", "Sweeps", "How each was made", "Time", "Conditions", "Measurement"]
    headings += ["Machine", "Benchmark", "Budget", "Reproduce", "Versions", "Files beside this page"]
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
    assert len(page.attributes("caption")) == len(page.attributes("table")) == 10
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.attributes("th"))
    assert page.attributes("html") == [{"lang": "en"}]
    picture = page.attributes("svg")[0]
    assert picture["role"] == "img"
    assert "Recommended: " in (picture["aria-label"] or "")
    assert all(attributes.get("aria-hidden") or attributes.get("aria-label") for attributes in page.attributes("svg"))
    assert all((attributes["alt"] or "").startswith("Test image ") for attributes in page.attributes("img"))


def test_labels_point_at_ids_that_are_there_once(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes} <= set(ids)


def test_nothing_is_loaded_from_anywhere(page: Page, text: str) -> None:
    assert set(re.findall(r"[a-z]+://[^\s\"<]*", text)) == {"http://www.w3.org/2000/svg"}
    assert all((attributes["src"] or "").startswith("data:image/png;base64,") for attributes in page.attributes("img"))
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    assert "@import" not in text
    assert "url(" not in page.inline["style"]


def test_the_policy_allows_exactly_the_inline_text(page: Page) -> None:
    [policy] = [a["content"] or "" for a in page.attributes("meta") if "Content-Security-Policy" in a.values()]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for kind in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.inline[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "img-src data:;" in policy
    assert "img-src" not in render(SMALL)
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
        "machine": {HOSTILE: HOSTILE, "load": [HOSTILE], "cpu": HOSTILE},
        "classes": tuple(f"{HOSTILE}{number}" for number in range(10)),
        "conditions": UNSTABLE.model_copy(update={"unstable": (HOSTILE,), "energy": HOSTILE}),
        "failures": (FAILURES[0].model_copy(update={"recipe": HOSTILE, "reason": HOSTILE}),),
        "layers": tuple(layer.model_copy(update={"name": HOSTILE, "kernel": HOSTILE}) for layer in layers_of(3)),
        "warnings": (HOSTILE,),
        "versions": {HOSTILE: HOSTILE},
        "benchmark": {HOSTILE: HOSTILE},
        "recommendation": Recommendation(variant=1, sentence=HOSTILE),
        "stages": tuple(
            stage.model_copy(update={"label": HOSTILE, "recipe": HOSTILE, "facts": {HOSTILE: HOSTILE}})
            for stage in SMALL.stages
        ),
    }
    changed = results.model_copy(update=everywhere)
    hostile = Page(render(changed, example_predictions(changed), others=[(changed, None)]))
    assert len(hostile.attributes("script")) == 1
    assert all((attributes["src"] or "").startswith("data:image/png") for attributes in hostile.attributes("img"))
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
    predictions = example_predictions(results, mistakes=24)
    render(SMALL)
    start = time.process_time()
    text = render(results, predictions)
    assert time.process_time() - start < 3
    assert len(text.encode()) < 3_000_000
    assert all(variant.recipe in text for variant in results.variants)


def test_size_and_memory_say_what_was_not_measured(page: Page) -> None:
    missing = [attributes for attributes in page.attributes("td") if attributes.get("class") == "none"]
    eager = [variant for variant in RESULTS.variants if variant.footprint is None]
    unswept = [sweep for sweep in RESULTS.sweeps if sweep.note]
    assert len(missing) == 6 * len(eager) + len(unswept)
    assert all(attributes["data-sort"] == "" for attributes in missing)
    assert "not measured" in page.text
    assert "0.210 ms, memory" in page.text


def test_unstable_results_are_told_before_the_recommendation() -> None:
    text = Page(render(SMALL.model_copy(update={"conditions": UNSTABLE}))).text
    assert text.index("do not rely on them") < text.index(SMALL.recommendation.sentence)
    assert all(reason in text for reason in UNSTABLE.unstable)
    assert "do not rely on them" not in Page(render(SMALL)).text


def test_what_could_not_be_measured_is_told_before_the_table() -> None:
    text = Page(render(SMALL.model_copy(update={"failures": FAILURES}))).text
    assert text.index("int8-aware · openvino (pt2): parity: 61 %") < text.index("Accuracy against latency")
    assert "Not measured" not in Page(render(SMALL)).text


def test_the_conditions_are_told(page: Page) -> None:
    for said in ("sittings that count 12", "set aside 1", "processes 0.04", "host 0.2 %", "1.03×", "±2.8 %"):
        assert said in page.text
    assert "energy not measured: this machine has no counter" in page.text


def test_files_beside_the_page_are_named(page: Page) -> None:
    assert all(name in page.text for name in ("results.json", "results.csv", "results.md", "predictions.npz"))
    assert "predictions.npz" not in Page(render(SMALL)).text


def test_machines_stand_below_each_other_with_ids_of_their_own() -> None:
    pages = Page(render(RESULTS, PREDICTIONS, others=[(elsewhere(RESULTS), None)]))
    assert [attributes["data-machine"] for attributes in pages.attributes("article")] == [
        "Example CPU 9000 @ 2.60 GHz",
        "Other CPU 1",
    ]
    ids = [attributes["id"] for _, attributes in pages.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in pages.tags if re.fullmatch("h[1-6]", tag)]
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    targets = {(attributes["href"] or "")[1:] for attributes in pages.attributes("a")}
    assert len(targets) == 2
    assert targets <= set(ids)


def test_machines_of_one_kind_are_told_apart() -> None:
    later = SMALL.model_copy(update={"created": "2026-03-15"})
    named = [
        a["data-machine"] for a in Page(render(SMALL, others=[(later, None), (later, None)])).attributes("article")
    ]
    assert len(set(named)) == 3
    assert named[1] == "Example CPU 9000 @ 2.60 GHz, 2026-03-15 (2)"


def test_predictions_of_another_run_are_left_out() -> None:
    assert "Which class is taken for which" not in Page(render(SMALL, PREDICTIONS)).text
