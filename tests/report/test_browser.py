"""The page in a real browser: what scripts add, and that nothing else happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import launched, needs_chromium

from pipeline.report.html import render
from pipeline.results import Results

from .example import FAILURES, UNSTABLE, elsewhere, example_predictions, example_results, layers_of, renamed

pytestmark = needs_chromium
RESULTS = example_results()
RUNTIMES = [variant.runtime for variant in RESULTS.variants]
HOSTILE = ("<script>alert(1)</script>", "=cmd()", '"><img src=x onerror=alert(1)>')

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages that the tests open."""
    known = example_predictions(RESULTS)
    noted = RESULTS.model_copy(update={"conditions": UNSTABLE, "failures": FAILURES, "layers": layers_of(80)})
    single = RESULTS.model_copy(update={"variants": tuple(v for v in RESULTS.variants if v.runtime == "onnxruntime")})
    single = single.model_copy(update={"recommendation": single.recommendation.model_copy(update={"variant": 3})})
    single = single.model_copy(update={"sweeps": ()})
    other = elsewhere(RESULTS)
    texts = {
        "one": render(RESULTS, known),
        "single": render(single),
        "two": render(noted, known, others=[(other, example_predictions(other))]),
        "hostile": _hostile(),
    }
    folder = tmp_path_factory.mktemp("pages")
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def _hostile() -> str:
    results = example_results(4)
    for index, name in enumerate(HOSTILE):
        results = renamed(results, index, recipe=name, runtime=name, lineage=({name: {name: name}},))
    results = results.model_copy(
        update={
            "study": HOSTILE[2],
            "classes": tuple(f"{HOSTILE[number % 3]}{number}" for number in range(10)),
            "machine": {"cpu": HOSTILE[0]},
        }
    )
    other = elsewhere(results, HOSTILE[2])
    return render(results, example_predictions(results), others=[(other, example_predictions(other))])


@pytest.fixture
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Open]:
    """Opens a page; at the end nothing may have complained, asked for anything or left the file."""
    contexts, complaints = [], []

    def request(address: str) -> None:
        if not address.startswith(("file:", "data:")):
            complaints.append(address)

    def open_page(name: str = "one", width: int = 1440, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda sent: request(sent.url))
        page.goto(files[name].as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def shown(page: Any, within: str = "") -> list[str]:
    return page.locator(f"{within} .variants tbody tr:visible td:first-child").all_inner_texts()


def point_at(page: Any, selector: str) -> None:
    """By coordinates: the ring around the recommended point lies above it."""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("name", ["one", "two"])
def test_it_reads_on_every_screen(opened: Open, name: str, width: int, scheme: str) -> None:
    page = opened(name, width, color_scheme=scheme)
    box = page.locator(".picture svg").first.bounding_box()
    assert box["width"] > 0.8 * min(width, 592)
    assert box["height"] > 250
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(21, 24, 28)")
    assert page.locator(".gallery img").first.evaluate("image => image.naturalWidth") == 24


def test_a_click_on_a_header_sorts(opened: Open) -> None:
    page = opened()
    button = page.locator(".variants thead button", has_text="p50")
    button.click()
    order = sorted(range(14), key=lambda index: RESULTS.variants[index].latency.p50_ms.value)
    assert shown(page) == [str(index + 1) for index in order]
    assert button.locator("..").get_attribute("aria-sort") == "ascending"
    button.click()
    assert shown(page) == [str(index + 1) for index in reversed(order)]


def test_what_was_not_measured_is_sorted_last_both_ways(opened: Open) -> None:
    page = opened()
    table = page.locator("section[aria-labelledby=size] table")
    for _ in range(2):
        table.locator("thead button", has_text="Peak").click()
        runtimes = table.locator("tbody tr td:nth-child(3)").all_inner_texts()
        assert [text.startswith("eager") for text in runtimes] == [False] * 11 + [True] * 3


def test_the_runtime_filters_tables_and_picture(opened: Open) -> None:
    page = opened()
    page.locator("select[name=runtime]").select_option("openvino")
    kept = [str(number) for number, runtime in enumerate(RUNTIMES, start=1) if runtime == "openvino"]
    assert shown(page) == kept
    points = [f"pareto-variant-{number}" for number in range(1, 15)]
    seen = [point for point in points if page.locator(f"#{point}").is_visible()]
    assert seen == [f"pareto-variant-{number}" for number in kept]
    assert not page.locator("#pareto-interval-1").is_visible()
    assert page.locator("section[aria-labelledby=size] tbody tr:visible").count() == len(kept)
    status = page.locator(".controls output")
    assert status.inner_text() == f"{len(kept)} of 14 variants shown"
    assert status.get_attribute("aria-live") == "polite"


def test_text_front_and_budget_filter(opened: Open) -> None:
    page = opened()
    page.get_by_label("Filter", exact=True).fill("PRUNED openvino")
    assert shown(page) == ["6"]
    page.get_by_label("Filter", exact=True).fill("no such thing")
    assert shown(page) == []
    assert page.locator(".controls output").inner_text() == "0 of 14 variants shown"
    page.get_by_label("Filter", exact=True).fill("")
    page.get_by_label("on the front").check()
    assert shown(page) == [str(number) for number, v in enumerate(RESULTS.variants, start=1) if v.on_front]
    page.get_by_label("within budget").check()
    both = [str(n) for n, v in enumerate(RESULTS.variants, start=1) if v.on_front and v.within_budget]
    assert shown(page) == both


def test_one_runtime_and_one_machine_need_no_switch(opened: Open) -> None:
    page = opened("single")
    assert page.locator("select, .switch").count() == 0
    assert page.locator(".controls output").inner_text() == "4 of 4 variants shown"


@pytest.mark.parametrize("width", [390, 1440])
def test_pointing_at_a_point_tells_its_recipe(opened: Open, width: int) -> None:
    page = opened(width=width)
    point_at(page, "#pareto-variant-14")
    tip, variant = page.get_by_role("tooltip"), RESULTS.variants[13]
    assert tip.is_visible()
    said = tip.inner_text()
    assert "14 · int8-static" in said
    assert "MobileNetV3 → Train → Identity → ExportOnnx" in said
    assert f"{100 * variant.top1.value:.1f} % [" in said
    assert f"{variant.latency.p50_ms.value:.2f} ms [" in said
    assert "1.65 MB" in said
    assert page.locator(".variants .pointed").get_attribute("data-variant") == "14"
    box = tip.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    page.mouse.move(5, 5)
    assert not tip.is_visible()
    assert page.locator(".pointed").count() == 0


def test_the_arrow_keys_go_from_point_to_point(opened: Open) -> None:
    page = opened()
    page.locator(".controls input[name=budget]").focus()
    page.keyboard.press("Tab")
    order = sorted(range(14), key=lambda index: RESULTS.variants[index].latency.p50_ms.value)
    tip = page.get_by_role("tooltip")
    assert tip.inner_text().startswith(f"{order[0] + 1} · ")
    page.keyboard.press("ArrowRight")
    assert tip.inner_text().startswith(f"{order[1] + 1} · ")
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert "top-1 " in label
    assert "p50 " in label
    page.keyboard.press("End")
    assert tip.inner_text().startswith(f"{order[-1] + 1} · ")
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"


def test_the_keys_pass_by_what_is_filtered_out(opened: Open) -> None:
    page = opened()
    page.locator("select[name=runtime]").select_option("eager")
    page.locator(".controls input[name=budget]").focus()
    seen = set()
    for key in ("Tab", *["ArrowRight"] * 5):
        page.keyboard.press(key)
        seen.add(int(page.get_by_role("tooltip").inner_text().split()[0]))
    assert seen == {number for number, runtime in enumerate(RUNTIMES, start=1) if runtime == "eager"}


def test_the_machine_switch_shows_one_at_a_time(opened: Open) -> None:
    page = opened("two")
    first, second = page.locator("article").all()
    buttons = page.get_by_role("group", name="Machine").get_by_role("button")
    assert (first.is_visible(), second.is_visible()) == (True, False)
    first.locator("select[name=runtime]").select_option("openvino")
    buttons.nth(1).click()
    assert (first.is_visible(), second.is_visible()) == (False, True)
    assert buttons.nth(1).get_attribute("aria-pressed") == "true"
    assert shown(page) == [str(number) for number, runtime in enumerate(RUNTIMES, start=1) if runtime == "openvino"]
    point_at(page, "#machine-2-pareto-variant-2")
    assert "2 · float" in page.locator("article:visible .tip").inner_text()
    page.locator("#machines tbody a").first.click()
    assert first.is_visible()


def test_what_to_beware_of_is_in_sight_at_once(opened: Open) -> None:
    page = opened("two")
    assert page.locator(".banner").first.bounding_box()["y"] < 900
    assert "other processes used 1.7 of 2 cores" in page.locator(".banner").first.inner_text()


@pytest.mark.parametrize("width", [390, 1440])
def test_without_scripts_everything_can_be_read(opened: Open, width: int) -> None:
    page = opened("two", width, java_script_enabled=False)
    assert all(article.is_visible() for article in page.locator("article").all())
    assert page.locator(".variants tbody tr:visible").count() == 28
    assert page.locator("button, .controls, .switch").count() == 0
    assert page.locator(".picture svg:visible").count() == page.locator(".heat:visible").count() == 2
    layers = page.locator("details", has_text="60 layers, in the order they run").first
    layers.locator("summary").first.click()
    assert "20 quicker layers are left out" in layers.inner_text()


def test_hostile_names_stay_text(opened: Open) -> None:
    page = opened("hostile")
    assert page.locator("img:not([src^='data:image/png'])").count() == 0
    assert page.locator("script").count() == 1
    for number, name in enumerate(HOSTILE, start=1):
        page.locator(f"article:visible .picture svg [id$=variant-{number}]").evaluate("point => point.focus()")
        tip = page.locator("article:visible .tip")
        assert tip.locator("strong").inner_text() == f"{number} · {name}"
        assert tip.locator("strong, p, dl, dt, dd").count() == tip.locator("*").count()
    page.locator("article:visible select[name=runtime]").select_option(label=HOSTILE[2])
    assert shown(page) == ["3"]
    page.locator(".switch button", has_text=HOSTILE[2]).click()
    assert page.locator("h1").inner_text() == HOSTILE[2]
    assert page.locator("img:not([src^='data:image/png'])").count() == 0


def test_paper_has_everything_unfolded_and_no_controls(opened: Open) -> None:
    page = opened()
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator(".controls").is_visible()


def test_two_hundred_variants_open_within_two_seconds(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(_large(example_results(200)), encoding="utf-8")
    assert path.stat().st_size <= 3_000_000
    seconds = min(_seconds_to_open(browser, path) for _ in range(2))
    assert seconds <= 2


def _large(results: Results) -> str:
    return render(results, example_predictions(results, images=450, mistakes=24))


def _seconds_to_open(browser: Any, path: Path) -> float:
    """Until scripts have run and the first picture is painted."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    start = time.perf_counter()
    page.goto(path.as_uri())
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    seconds = time.perf_counter() - start
    assert page.locator(".controls output").inner_text() == "200 of 200 variants shown"
    page.close()
    return seconds
