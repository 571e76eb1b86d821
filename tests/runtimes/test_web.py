"""The browser as a runtime: its own clock, its faults, and that nothing of it stays behind."""

from __future__ import annotations

import shutil
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
import web_kit
from onnx import TensorProto, helper
from processes import gone
from tiny_run import edgewright

from pipeline.artifact import Artifact
from pipeline.aside import Aside, Crashed
from pipeline.bench import bench
from pipeline.browser import chromium as chromium_file
from pipeline.browser.chromium import PageError, chromium
from pipeline.browser.web_runtime import fetched
from pipeline.doctor import runtimes
from pipeline.errors import UnavailableError, UsageError
from pipeline.measure.latency import session_timer
from pipeline.plugin import lookup
from pipeline.report.bench import table
from pipeline.runtime import SelfTimed
from pipeline.runtimes import web
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.runtimes.web import Web
from pipeline.stranger import unvouched
from pipeline.study import Benchmark

needs_browser = pytest.mark.skipif(
    chromium() is None or not fetched(), reason="chromium is not installed, or onnxruntime-web was not fetched"
)
QUICK = Benchmark(seconds=2.0, sittings=4, rounds=1, calls=2, cold_starts=1)
SHAPE = (3, 16, 16)
LIMIT_S = 30.0


@pytest.fixture(scope="module")
def x_1CHW() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((1, *SHAPE), dtype=np.float32)


def written(folder: Path, external: bool = False) -> Path:
    """A file with one convolution, its mean and a linear layer; its weights in a file of their own, if asked."""
    rng = np.random.default_rng(1)
    weights = {"kernel": rng.standard_normal((8, 3, 3, 3)), "matrix": rng.standard_normal((8, 5))}
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "matrix"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("N", *SHAPE))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("N", 5))],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "net.onnx"
    onnx.save(model, path, save_as_external_data=external, location="net.data", size_threshold=0)
    return path


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return unvouched(written(tmp_path), "onnx", 0, SHAPE)


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    """The browser ends with this file, not with all tests."""
    yield
    if web._Place._current is not None:
        web._Place._current.close()


@needs_browser
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("external", [False, True])
def test_it_answers_as_onnxruntime_does(threads: int, external: bool, tmp_path: Path, x_1CHW: np.ndarray) -> None:
    artifact = unvouched(written(tmp_path, external), "onnx", 0, SHAPE)
    x_3CHW = np.concatenate([x_1CHW, 2 * x_1CHW, -x_1CHW])
    expected_NK = OnnxRuntime().open(artifact, 1)(x_3CHW)
    np.testing.assert_allclose(Web().open(artifact, threads)(x_3CHW), expected_NK, rtol=1e-4, atol=1e-4)


@needs_browser
def test_time_is_the_pages_and_not_the_ways(artifact: Artifact) -> None:
    """An image of twelve megabytes takes long to send, and is sent once."""
    session = Web().open(artifact, 1)
    assert isinstance(session, SelfTimed)
    x_NCHW = np.zeros((4096, *SHAPE), np.float32)
    start = time.perf_counter()
    timed = session_timer(session, x_NCHW)
    first = timed(1)
    whole_ms = 1e3 * (time.perf_counter() - start)
    assert 0 < sum(first) < whole_ms
    again = timed(3)
    assert len(again) == 3
    assert all(type(ms) is float and ms > 0 for ms in again)


@needs_browser
def test_a_quick_call_is_timed_in_more_than_the_clocks_grains(artifact: Artifact, x_1CHW: np.ndarray) -> None:
    """Means of many calls, so that they differ by less than the clock can tell."""
    ms = Web().open(artifact, 1).timer(x_1CHW)(40)  # type: ignore[attr-defined]
    assert len(ms) == 40
    grains = {round(one / 0.005, 3) for one in ms}
    assert any(grain != round(grain) for grain in grains)


@needs_browser
def test_a_timer_keeps_its_own_input(artifact: Artifact, x_1CHW: np.ndarray) -> None:
    session, other_1CHW = Web().open(artifact, 1), 2 * x_1CHW
    timed, held = session_timer(session, x_1CHW), "Array.from(Object.values(runner.held())[0].data.slice(0, 3))"
    for _ in range(2):
        session(other_1CHW)
        timed(1)
        assert session._page._evaluate(held) == x_1CHW.ravel()[:3].tolist()  # type: ignore[attr-defined]


@needs_browser
def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"no model")
    with pytest.raises(UnavailableError, match=r"web cannot open .*net\.onnx") as caught:
        Web().open(unvouched(tmp_path / "net.onnx", "onnx", 0, SHAPE), 1)
    assert len(caught.value.lines()) <= 6


@needs_browser
def test_a_browser_that_was_killed_is_named_and_replaced(artifact: Artifact, x_1CHW: np.ndarray) -> None:
    session = Web().open(artifact, 1)
    timed = session_timer(session, x_1CHW)
    timed(1)
    shell, *browser = web_kit.browsers()
    profile = web_kit.profile_of(shell)
    for process in browser:
        process.kill()
    start = time.monotonic()
    with pytest.raises(Crashed, match=r"Chromium ended \(exit code 137\)") as caught:
        timed(1)
    assert time.monotonic() - start < LIMIT_S
    assert len(caught.value.lines()) <= 6
    with pytest.raises(Crashed, match="Chromium was closed"):
        session(x_1CHW)
    assert not profile.exists()
    assert Web().open(artifact, 1)(x_1CHW).shape == (1, 5)


@needs_browser
def test_a_page_that_crashes_is_named(artifact: Artifact, x_1CHW: np.ndarray) -> None:
    session = Web().open(artifact, 1)
    session._page._browser.tell("Page.crash", session._page._session)  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(Crashed, match="the page crashed"):
            session(x_1CHW)
    assert Web().open(artifact, 1)(x_1CHW).shape == (1, 5)


@needs_browser
def test_a_silent_browser_is_not_waited_for_for_ever(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Web().open(artifact, 1)
    monkeypatch.setattr(chromium_file, "PATIENCE_S", 0.5)
    with pytest.raises(Crashed, match=r"did not answer in 0\.5 s|did not answer in 0 s"):
        session._page._evaluate("new Promise(() => {})")  # type: ignore[attr-defined]


@needs_browser
def test_nothing_stays_when_the_process_that_opened_it_is_killed(artifact: Artifact) -> None:
    with Aside() as aside:
        pids, profile = aside.do(web_kit.opened_aside, artifact)
        assert len(pids) > 2
        assert profile.is_dir()
    assert all(gone(pid, LIMIT_S) for pid in pids)
    assert not profile.exists()


@needs_browser
def test_a_page_is_closed_with_its_session(artifact: Artifact) -> None:
    session = Web().open(artifact, 1)
    browser = session._page._browser  # type: ignore[attr-defined]

    def pages() -> int:
        return sum(one["type"] == "page" for one in browser.ask("Target.getTargets")["targetInfos"])

    before = pages()
    del session
    end = time.monotonic() + LIMIT_S
    while pages() == before and time.monotonic() < end:
        time.sleep(0.05)
    assert pages() == before - 1


@needs_browser
def test_nothing_but_this_machine_can_be_asked(artifact: Artifact) -> None:
    session, place = Web().open(artifact, 1), web._Place.here()
    assert place.server.server_address[0] == "127.0.0.1"
    assert not any("/model/" in address for address in place.files)  # served while it is opened only
    with urllib.request.urlopen(place.address, timeout=20) as answer:
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    with pytest.raises(PageError, match="Failed to fetch"):
        session._page.call("fetch", "http://example.com/")  # type: ignore[attr-defined]
    listening = {
        connection.laddr.ip
        for process in web_kit.browsers()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == set()


@needs_browser
def test_bench_measures_on_it_where_it_is_named(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert "web" not in {row.runtime for row in bench([path], QUICK.model_copy(update={"cold_starts": 0})).rows}
    found = bench([path], QUICK, ["onnxruntime", "web"])
    here, browser = found.rows
    assert (here.runtime, browser.runtime) == ("onnxruntime", "web")
    assert here.footprint is not None
    assert browser.footprint is None
    assert browser.latency.p50_ms.value > 0
    assert {"onnxruntime-web", "chromium"} <= found.versions.keys()
    assert "Not measured: cold start and memory of web, a program of its own." in table(found)


def test_what_is_missing_is_told_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "chromium", lambda: None)
    monkeypatch.setattr(web, "fetched", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert Web.missing() == ("Chromium", "onnxruntime-web")
    with pytest.raises(UnavailableError, match="web needs Chromium, onnxruntime-web") as caught:
        lookup("runtime", "web", "runtimes")
    assert "apt install chromium" in caught.value.fix
    assert "npm" in caught.value.fix
    check = next(one for one in runtimes() if one.name == "runtime web")
    assert (check.status, check.found) == ("warn", "not installed")
    refused = edgewright("bench", written(tmp_path), "--runtime", "web")
    assert (refused.exit_code, "Chromium" in refused.stderr) == (3, True)
    assert len(refused.stderr.splitlines()) <= 6


def test_a_runtime_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown runtime 'webb'"):
        bench([written(tmp_path)], QUICK, ["webb"])
