"""The demo in a real browser: golden answers, latency, pictures; and nothing leaves this machine."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import launched, needs_chromium
from PIL import Image
from tiny_run import finished

from pipeline.browser.web_runtime import FILES, PACKAGE, VERSION
from pipeline.bundle.golden import read_images
from pipeline.demo.server import demo_server

# Where the tool keeps the package for its user; tests fetch nothing.
WEB = Path(os.environ.get("EDGEWRIGHT_CACHE") or Path.home() / ".cache/edgewright") / PACKAGE / VERSION
pytestmark = [
    needs_chromium,
    pytest.mark.skipif(not all((WEB / name).is_file() for name in FILES), reason="onnxruntime-web was not fetched"),
]
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
NO_GPU = "No available adapters."  # Chromium's own words where the page asks for WebGPU in vain
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def bundle() -> Path:
    return finished().out / "bundle"


@pytest.fixture(scope="module")
def address(bundle: Path) -> Iterator[str]:
    with demo_server(bundle, WEB) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched(*CAMERA)


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Open]:
    """Opens the page and waits for it; at the end nothing may have complained, or asked anybody else."""
    contexts, complaints = [], []

    def request(asked: str) -> None:
        if not asked.startswith((address, "blob:")):
            complaints.append(asked)

    def open_page(width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.on("request", lambda sent: request(sent.url))
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.text != NO_GPU else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector("body[data-state=ready]", timeout=60_000)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def png(image_HWC: np.ndarray) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(image_HWC[:, :, 0]).save(buffer, "PNG")
    return {"name": "digit.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def milliseconds(page: Any, note: str) -> float:
    page.wait_for_function("text => document.getElementById('latency-note').textContent.includes(text)", arg=note)
    return float(page.locator("#latency").inner_text())


def test_golden_answers_are_equal_and_latency_is_shown(opened: Open) -> None:
    page = opened()
    assert page.locator("#verdict").inner_text() == "8 of 8 golden answers are equal here."
    assert page.locator("#golden td.good").count() == 8
    assert milliseconds(page, "median of 10") > 0
    assert page.evaluate("crossOriginIsolated")
    assert "onnxruntime-web 1." in page.locator("#machine").inner_text()


def test_the_header_tells_what_the_model_is(opened: Open) -> None:
    page = opened()
    assert page.locator("#recipe").inner_text() in ("base", "int8")
    assert "top-1" in page.locator("#about").inner_text()
    assert page.title().endswith("Edgewright demo")


def test_a_chosen_picture_gets_the_five_most_probable_labels(opened: Open, bundle: Path) -> None:
    page = opened()
    page.set_input_files("#file", png(np.kron(read_images(bundle)[3], np.ones((40, 40, 1), np.uint8))))
    assert milliseconds(page, "320 × 320") > 0
    labels = page.locator("#top .label").all_inner_texts()
    shares = [float(text.rstrip(" %")) for text in page.locator("#top .share").all_inner_texts()]
    assert len(set(labels)) == len(labels) == 5
    assert set(labels) <= set((bundle / "labels.txt").read_text().split())
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 100.5


def test_a_golden_image_gives_its_golden_label(opened: Open) -> None:
    page = opened()
    wanted = page.locator("#golden tr:nth-child(3) td:nth-child(2)").inner_text()
    page.locator("#samples button").nth(2).click()
    page.wait_for_function("label => document.querySelector('#top .label')?.textContent === label", arg=wanted)


def test_what_is_no_picture_is_named(opened: Open) -> None:
    page = opened()
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    page.wait_for_selector("#problem:not([hidden])")
    assert "notes.txt is not a picture" in page.locator("#problem").inner_text()


def test_the_camera_is_answered_frame_by_frame(opened: Open) -> None:
    page = opened()
    page.locator("#camera").click()
    assert milliseconds(page, "a frame of") > 0
    assert page.locator("#top li").count() == 5
    page.get_by_text("Stop camera").click()
    assert page.locator("#video").is_hidden()


def test_a_wrong_model_fails_the_golden_self_test(browser: Any, address: str, bundle: Path) -> None:
    """The page can tell: golden answers of other images."""
    context = browser.new_context(service_workers="block")
    page = context.new_page()
    other = (bundle / "golden/image_4.png").read_bytes()
    page.route("**/golden/image_0.png", lambda route: route.fulfill(body=other, content_type="image/png"))
    page.goto(address)
    page.wait_for_selector("body[data-state=ready]", timeout=60_000)
    assert page.locator("#verdict").inner_text() == "7 of 8 golden answers are equal here."
    context.close()


def test_it_can_be_installed_and_opens_without_a_network(opened: Open) -> None:
    page = opened()
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")
    page.reload()  # now through the service worker, which keeps what it sees
    page.wait_for_selector("body[data-state=ready]", timeout=60_000)
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("body[data-state=ready]", timeout=60_000)
    assert "8 of 8" in page.locator("#verdict").inner_text()
    manifest = page.evaluate("() => fetch('/manifest.webmanifest').then(answer => answer.json())")
    assert manifest["display"] == "standalone"
    assert manifest["icons"]


def test_a_phones_page_is_not_wider_than_the_phone(opened: Open) -> None:
    page = opened(width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
