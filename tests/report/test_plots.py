from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from pipeline.report.plots import alternative, pareto
from pipeline.results import Interval, Recommendation, Results

from .example import example_results, renamed

RESULTS = example_results()
SMALL = example_results(3)
CHOSEN = RESULTS.recommendation.variant
SVG = "{http://www.w3.org/2000/svg}"


def drawn(results: Results) -> ElementTree.Element:
    return ElementTree.fromstring(pareto(results))


def part(root: ElementTree.Element, name: str) -> ElementTree.Element | None:
    return root.find(f".//*[@id='pareto-{name}']")


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}text")]


def marker(root: ElementTree.Element, number: int) -> ElementTree.Element:
    group = part(root, f"variant-{number}")
    assert group is not None
    use = group.find(f".//{SVG}use")
    assert use is not None
    return use


def path(root: ElementTree.Element, name: str) -> list[tuple[float, float]]:
    group = part(root, name)
    assert group is not None
    line = group.find(f"{SVG}path")
    assert line is not None
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", line.attrib["d"])]


@pytest.fixture(scope="module")
def text() -> str:
    return pareto(RESULTS)


@pytest.fixture(scope="module")
def root(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def test_every_variant_is_a_point_that_says_its_name(root: ElementTree.Element) -> None:
    for number, variant in enumerate(RESULTS.variants, start=1):
        group = part(root, f"variant-{number}")
        assert group is not None
        assert (group.findtext(f"{SVG}title") or "").startswith(f"{variant.recipe} · {variant.runtime}, ")


def test_what_belongs_to_a_variant_can_be_found_by_its_number(root: ElementTree.Element) -> None:
    for number, variant in enumerate(RESULTS.variants, start=1):
        across, up = path(root, f"interval-{number}")[:2], path(root, f"interval-{number}")[2:]
        assert across[0][1] == across[1][1]
        assert up[0][0] == up[1][0]
        numbered = part(root, f"number-{number}") is not None
        assert numbered is (variant.on_front or number - 1 == RESULTS.reference)


def test_two_pictures_can_share_a_page() -> None:
    one, other = (set(re.findall(r' id="([^"]+)"', pareto(SMALL, prefix))) for prefix in ("pareto-", "other-pareto-"))
    assert not one & other


def test_faster_is_left_and_better_is_up(root: ElementTree.Element) -> None:
    x = {n: float(marker(root, n + 1).attrib["x"]) for n in range(len(RESULTS.variants))}
    y = {n: float(marker(root, n + 1).attrib["y"]) for n in range(len(RESULTS.variants))}
    assert sorted(x, key=lambda n: x[n]) == sorted(x, key=lambda n: RESULTS.variants[n].latency.p50_ms.value)
    best, worst = (pick(y, key=lambda n: RESULTS.variants[n].top1.value) for pick in (max, min))
    assert y[best] < y[worst]


def test_the_latency_axis_is_logarithmic() -> None:
    results = example_results(3)
    for index, p50 in enumerate((1.0, 10.0, 100.0)):
        latency = results.variants[index].latency.model_copy(
            update={"p50_ms": Interval(value=p50, low=p50 * 0.9, high=p50 * 1.1)}
        )
        results = renamed(results, index, latency=latency)
    picture = drawn(results)
    one, two, three = (float(marker(picture, number).attrib["x"]) for number in (1, 2, 3))
    assert two - one == pytest.approx(three - two, rel=1e-3)
    assert {"1", "10", "100"} <= set(texts(picture))


def test_int8_is_filled_and_float_is_hollow(root: ElementTree.Element) -> None:
    for number, variant in enumerate(RESULTS.variants, start=1):
        use = marker(root, number)
        hollow = use.attrib.get("fill") == "none" or use.attrib.get("fill-opacity") == "0"
        assert hollow is not variant.integer


def test_runtimes_differ_in_colour_and_in_shape(root: ElementTree.Element) -> None:
    seen = {
        variant.runtime: (marker(root, number).attrib["stroke"], shape_of(root, number))
        for number, variant in enumerate(RESULTS.variants, start=1)
        if not variant.integer
    }
    assert len(seen) == 4
    assert len({color for color, _ in seen.values()}) == len({shape for _, shape in seen.values()}) == 4


def shape_of(root: ElementTree.Element, number: int) -> str:
    target = root.find(f".//*[@id='{marker(root, number).attrib['href'][1:]}']")
    assert target is not None
    return target.attrib["d"]


def test_the_front_is_a_rising_staircase_through_its_points(root: ElementTree.Element) -> None:
    corners = path(root, "front")
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in pairwise(corners))
    for number, variant in enumerate(RESULTS.variants, start=1):
        place = (float(marker(root, number).attrib["x"]), float(marker(root, number).attrib["y"]))
        assert (place in [pytest.approx(corner) for corner in corners]) is variant.on_front


def test_the_budget_line_is_level_and_below_the_reference(root: ElementTree.Element) -> None:
    (_, left), (_, right) = path(root, "budget")
    assert left == right > float(marker(root, RESULTS.reference + 1).attrib["y"])
    assert "budget: 1.5 points below reference" in texts(root)


@pytest.mark.parametrize(("drop", "is_drawn"), [(0.02, True), (0.5, False), (1.0, False)])
def test_a_budget_far_below_all_points_is_left_out_of_the_picture(drop: float, is_drawn: bool) -> None:
    budget = SMALL.budget.model_copy(update={"max_drop": drop})
    assert (part(drawn(SMALL.model_copy(update={"budget": budget})), "budget") is not None) == is_drawn


def test_the_latency_budget_is_drawn_only_where_it_fits_the_picture(root: ElementTree.Element) -> None:
    assert part(root, "latency-budget") is not None
    for limit in (None, 500.0):
        budget = SMALL.budget.model_copy(update={"max_latency_ms": limit})
        assert part(drawn(SMALL.model_copy(update={"budget": budget})), "latency-budget") is None


def test_the_recommended_variant_is_ringed_and_named(root: ElementTree.Element) -> None:
    assert CHOSEN is not None
    ring = part(root, "recommended")
    assert ring is not None
    use = ring.find(f".//{SVG}use")
    assert use is not None
    assert (use.attrib["x"], use.attrib["y"]) == tuple(marker(root, CHOSEN + 1).attrib[name] for name in "xy")
    variant = RESULTS.variants[CHOSEN]
    assert f"recommended: {CHOSEN + 1}, {variant.recipe} · {variant.runtime}" in texts(root)


def test_nothing_is_ringed_where_nothing_is_recommended() -> None:
    picture = drawn(SMALL.model_copy(update={"recommendation": Recommendation(variant=None, sentence="None.")}))
    assert part(picture, "recommended") is None
    assert "nothing is recommended" in texts(picture)


def test_the_ink_is_the_page_s_and_no_style_needs_permission(text: str) -> None:
    assert "currentColor" in text
    assert not re.search(r"#0[0-9]0[0-9]0[0-9]\b|#000000|#ffffff|style|font-family: ", text)


def test_it_loads_nothing_and_says_nothing_of_when_it_was_made(text: str) -> None:
    assert re.findall(r"[a-z]+://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert "metadata" not in text


def test_ids_are_unique_and_every_reference_finds_one(root: ElementTree.Element, text: str) -> None:
    ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", text)) <= set(ids)


def test_the_same_results_give_the_same_bytes() -> None:
    assert pareto(SMALL) == pareto(example_results(3))
    assert pareto(SMALL) != pareto(example_results(3, seed=8))


@pytest.mark.parametrize("name", ["<script>&\"'", "$x^$", "\x00\x1b\u202e", "数字模型", "x" * 500])
def test_hostile_names_are_text(name: str) -> None:
    results = SMALL
    for index in range(len(SMALL.variants)):
        results = renamed(results, index, recipe=name, runtime=name)
    picture = drawn(results)
    assert picture.find(".//script") is None
    assert picture.find(f".//{SVG}script") is None
    if name == "$x^$":
        assert "$x^$" in texts(picture)


@pytest.mark.parametrize("count", [1, 2])
def test_few_variants_make_a_picture_too(count: int) -> None:
    assert part(drawn(example_results(count)), f"variant-{count}") is not None


def test_the_words_name_the_front_the_choice_and_the_budget() -> None:
    said = alternative(RESULTS)
    assert all((f"{v.recipe} · {v.runtime}," in said) is v.on_front for v in RESULTS.variants)
    assert "Recommended: " in said
    assert "allows 95.6 % and above" in said
