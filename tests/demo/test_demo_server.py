"""What the demo's server answers, and what it does not."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tiny_run import edgewright, finished

from pipeline.browser.isolated import HEADERS
from pipeline.browser.web_runtime import FILES, VERSION, web_runtime
from pipeline.demo.server import demo_server
from pipeline.errors import CorruptFile, UnavailableError, UsageError


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the runtime's names: the server does not run them."""
    folder = tmp_path_factory.mktemp("runtime")
    for name in FILES:
        (folder / name).write_text(f"// {name}\n")
    return folder


@pytest.fixture(scope="module")
def bundle() -> Path:
    return finished().out / "bundle"


@pytest.fixture(scope="module")
def address(bundle: Path, runtime: Path) -> Iterator[str]:
    with running(demo_server(bundle, runtime)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"


class running:  # noqa: N801 (reads as what it does)
    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.server = server

    def __enter__(self) -> ThreadingHTTPServer:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.server

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def asked(address: str, method: str = "GET") -> Any:
    return urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=20)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/demo.mjs", "text/javascript; charset=utf-8"),
        ("/service-worker.js", "text/javascript; charset=utf-8"),
        ("/manifest.webmanifest", "application/manifest+json"),
        ("/bundle/model-with-preprocessing.onnx", "application/octet-stream"),
        ("/bundle/golden/image_0.png", "image/png"),
        ("/bundle/examples/javascript/classifier.mjs", "text/javascript; charset=utf-8"),
        (f"/runtime/{FILES[2]}", "application/wasm"),
    ],
)
def test_every_file_comes_with_its_type_and_the_headers(address: str, path: str, kind: str) -> None:
    with asked(address + path) as answer:
        content = answer.read()
        assert answer.headers["Content-Type"] == kind
        assert int(answer.headers["Content-Length"]) == len(content) > 0
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    with asked(address + path, "HEAD") as answer:
        assert answer.read() == b""


@pytest.mark.parametrize(
    "path",
    [
        "/bundle/../server.py",
        "/bundle/%2e%2e/secret",
        "/bundle/",
        "/bundle/unlisted",
        "/etc/passwd",
        "/x",
        "/golden/image_0.png",
    ],
)
def test_nothing_else_is_answered(address: str, bundle: Path, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        asked(address + path)


def test_nothing_can_be_sent(address: str) -> None:
    with pytest.raises(urllib.error.HTTPError, match="501"):
        asked(f"{address}/", "POST")


def test_a_changed_bundle_is_not_served(bundle: Path, runtime: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "bundle"))
    (copy / "labels.txt").write_text("another\n")
    with pytest.raises(CorruptFile, match=r"labels\.txt"):
        demo_server(copy, runtime)
    said = edgewright("demo", copy, "--onnxruntime-web", runtime, "--port", "0")
    assert (said.exit_code, said.stdout) == (3, "")


def test_a_port_that_is_taken_is_named(bundle: Path, runtime: Path, address: str) -> None:
    with pytest.raises(UsageError, match="cannot serve on") as raised:
        demo_server(bundle, runtime, port=int(address.rpartition(":")[2]))
    assert "--port" in raised.value.fix


def test_https_with_a_certificate(bundle: Path, runtime: Path, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    pem = tmp_path / "both.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run(
        [openssl, "req", *options, "-keyout", pem, "-out", tmp_path / "c.pem"], check=True, capture_output=True
    )
    pem.write_text(pem.read_text() + (tmp_path / "c.pem").read_text())
    with running(demo_server(bundle, runtime, certificate=pem)) as server:
        context = ssl.create_default_context(cafile=str(tmp_path / "c.pem"))
        context.check_hostname = False
        url = f"https://127.0.0.1:{server.server_address[1]}/"
        assert urllib.request.urlopen(url, timeout=20, context=context).status == 200


def test_a_certificate_that_is_none_is_refused(bundle: Path, runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(UnavailableError, match="cannot be used for https"):
        demo_server(bundle, runtime, certificate=tmp_path / "no.pem")


def fake_npm(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """A program called npm that does this in place of asking a registry."""
    npm = folder / "npm"
    npm.write_text(f"#!/bin/sh\n{does}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(folder / "cache"))


def test_the_runtime_is_fetched_once_and_kept(runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(runtime, tmp_path / "package/dist")
    subprocess.run(["tar", "czf", tmp_path / "packed.tgz", "-C", tmp_path, "package"], check=True)
    fake_npm(tmp_path, monkeypatch, f'echo "$@" >> {tmp_path}/asked; cp {tmp_path}/packed.tgz "$4/onnxruntime-web.tgz"')
    said: list[str] = []
    for _ in range(2):
        found = web_runtime(None, said.append)
    assert {name: (found / name).read_text() for name in FILES} == {name: f"// {name}\n" for name in FILES}
    assert len(said) == 1
    assert VERSION in said[0]
    assert (tmp_path / "asked").read_text().startswith(f"pack onnxruntime-web@{VERSION} ")


def test_without_a_network_or_npm_the_way_out_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(tmp_path, monkeypatch, "echo 'npm error code ENOTFOUND' >&2; exit 1")
    with pytest.raises(UnavailableError, match="npm cannot fetch onnxruntime-web: npm error code ENOTFOUND"):
        web_runtime()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(UnavailableError, match="npm, which fetches it, is not installed") as raised:
        web_runtime()
    assert "--onnxruntime-web DIR" in raised.value.fix


def test_a_folder_of_ones_own_must_be_whole(runtime: Path, tmp_path: Path) -> None:
    assert web_runtime(runtime) == runtime
    with pytest.raises(UnavailableError, match=FILES[0]):
        web_runtime(tmp_path)
