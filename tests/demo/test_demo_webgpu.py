"""The demo on WebGPU: Chromium's software adapter has the kernels that the file with preprocessing needs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import launched, needs_chromium
from tiny_run import finished

from pipeline.browser.web_runtime import FILES, place
from pipeline.bundle.from_run import bundle_of
from pipeline.demo.server import demo_server

# Where the tool keeps the package for its user; tests fetch nothing.
WEB = place()
pytestmark = [
    needs_chromium,
    pytest.mark.skipif(not all((WEB / name).is_file() for name in FILES), reason="onnxruntime-web was not fetched"),
]
SOFTWARE = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from launched(*SOFTWARE)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a float model's page."""
    bundle = bundle_of(finished().out, "base", tmp_path_factory.mktemp("bundle") / "base")
    with demo_server(bundle, WEB) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def test_golden_answers_are_equal(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("body[data-state=ready]", timeout=60_000)
    if page.evaluate("async () => !(await navigator.gpu?.requestAdapter())"):
        pytest.skip("this Chromium has no software adapter for WebGPU")
    assert page.locator("#machine").inner_text().endswith("WebGPU")
    assert page.locator("#problem").is_hidden()
    assert page.locator("#verdict").inner_text() == "8 of 8 golden answers are equal here."
