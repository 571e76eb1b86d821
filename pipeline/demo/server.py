"""The demo's server: nothing but the page, the bundle and the runtime, with the headers that browsers ask for."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from pipeline.bundle.checksums import SUMS, read_sums, verify_bundle
from pipeline.bundle.write import WHOLE
from pipeline.demo.web_runtime import FILES
from pipeline.errors import UnavailableError, UsageError

PAGE = Path(__file__).parent / "page"
INDEX = "index.html"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    # Isolated pages may use threads in WebAssembly, and clocks that are fine enough for milliseconds.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # another bundle may be served here tomorrow
}


def demo_server(
    bundle: Path, runtime: Path, host: str = "127.0.0.1", port: int = 0, certificate: Path | None = None
) -> ThreadingHTTPServer:
    """A server, bound and ready: ``serve_forever`` answers, ``server_address`` says where.

    Args:
        bundle: a bundle's folder; it is verified first.
        runtime: the folder that ``web_runtime`` gives.
        port: any that is free where 0.
        certificate: PEM with certificate and key, for https, which phones want for the camera.

    Raises:
        CorruptFile: the bundle is not what was written.
        UsageError: it has no model with preprocessing, or the address cannot be bound.
        UnavailableError: the certificate cannot be used.
    """
    handler = type("Handler", (Handler,), {"files": served(bundle, runtime)})
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise UsageError(f"cannot serve on {host}:{port}: {error.strerror}", "choose another --port") from None
    if certificate is not None:
        server.socket = _secured(server.socket, certificate)
    return server


def served(bundle: Path, runtime: Path) -> dict[str, Path]:
    """Every address that is answered, with its file; nothing else can be asked for."""
    verify_bundle(bundle)
    names = read_sums(bundle / SUMS)
    if WHOLE not in names:
        raise UsageError(f"{bundle} has no {WHOLE}", "make it again with this edgewright")
    page = {path.name: path for path in sorted(PAGE.iterdir()) if path.suffix in TYPES}
    return {
        "/": page[INDEX],
        **{f"/{name}": path for name, path in page.items()},
        **{f"/bundle/{name}": bundle / name for name in names},
        **{f"/runtime/{name}": runtime / name for name in FILES},
    }


def _secured(socket: Any, certificate: Path) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate)
    except (OSError, ssl.SSLError) as error:
        cause = f"{certificate} cannot be used for https: {error}"
        raise UnavailableError(cause, "give a PEM file that holds a certificate and its key") from None
    return context.wrap_socket(socket, server_side=True)


class Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the files it was given."""

    files: ClassVar[Mapping[str, Path]]
    server_version, sys_version = "edgewright", ""

    def do_GET(self) -> None:
        if path := self._head():
            with path.open("rb") as file:
                shutil.copyfileobj(file, self.wfile)

    def do_HEAD(self) -> None:
        self._head()

    def _head(self) -> Path | None:
        path = self.files.get(unquote(urlsplit(self.path).path))
        if path is None or not path.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", TYPES.get(path.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(path.stat().st_size))
        self.end_headers()
        return path

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: every picture would be a line."""
