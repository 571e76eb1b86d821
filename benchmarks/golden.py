"""Golden answers of real bundles: in a new process with numpy and ONNX Runtime only, and in a browser.

    python -m benchmarks.golden RUN [RUN …]

RUN is the output folder of a finished study. Every recipe of it that was exported to ONNX is bundled; ``self_test.py``
of the bundle runs on its own, and Chromium, without network, opens the page of ``edgewright demo``. Writes how many of
the golden answers were equal to ``benchmarks/results/<machine>/golden.json``. Wants Chromium; npm fetches
onnxruntime-web once. A minute each.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.figure import Figure, tell
from pipeline.browser.chromium import Chromium, Page
from pipeline.bundle.from_run import bundle_of
from pipeline.results import Results, read_results

if TYPE_CHECKING:
    from http.server import HTTPServer

COMMAND = "python -m benchmarks.golden"
PATIENCE_S = 300.0
EQUAL = re.compile(r"(\d+) of (\d+) golden answers")  # the page's words


def recipes(results: Results) -> list[str]:
    """Those that were exported to ONNX, each once."""
    return list(dict.fromkeys(variant.recipe for variant in results.variants if variant.format == "onnx"))


def share_in_python(bundle: Path) -> float:
    """100 per cent where ``self_test.py`` finds every golden answer; 0, and what it says, where one is off.

    ``-I`` keeps this project out of its sight.
    """
    command = [sys.executable, "-I", str(bundle / "self_test.py")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        print(said.stdout, said.stderr, sep="\n")
    return 0.0 if said.returncode else 100.0


def share_in_browser(bundle: Path, browser: Chromium, web: Path) -> float:
    """Per cent of the golden answers that are equal on the page."""
    from pipeline.demo.server import demo_server

    with demo_server(bundle, web) as server, serving(server) as address:
        page, until = Page(browser, address), time.monotonic() + PATIENCE_S
        while page.call("document.body.getAttribute", "data-state") != "ready":
            if time.monotonic() > until:
                return 0.0
            time.sleep(0.2)
        said = page.call("(name => document.getElementById(name).innerText)", "verdict")
    found = EQUAL.search(said)
    return 100 * int(found[1]) / int(found[2]) if found else 0.0


@contextmanager
def serving(server: HTTPServer) -> Iterator[str]:
    """The address of a server that answers meanwhile."""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()


def figures(run: Path, browser: Chromium, web: Path) -> Iterator[Figure]:
    """Of every recipe of a run."""
    results = read_results(run)
    for recipe in recipes(results):
        with tempfile.TemporaryDirectory() as folder:
            bundle = bundle_of(run, recipe, Path(folder) / recipe)
            name = f"{results.study} {recipe}: golden answers equal, %"
            yield Figure(f"{name}, Python", share_in_python(bundle), 100, at_least=True)
            yield Figure(f"{name}, browser", share_in_browser(bundle, browser, web), 100, at_least=True)


def main() -> int:
    from pipeline.browser.web_runtime import web_runtime

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    given, browser, kept = parser.parse_args(), Chromium(), []
    web = web_runtime(None, print)
    for run in given.runs:
        for one in figures(run, browser, web):
            print(one.line(), flush=True)
            kept.append(one)
    browser.close()
    return tell("golden", COMMAND, kept)


if __name__ == "__main__":
    sys.exit(main())
