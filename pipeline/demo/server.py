"""The demo's server: nothing but the page, the bundle and the runtime, with the headers that browsers ask for."""

from __future__ import annotations

import ssl
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pipeline.browser.isolated import TYPES, Handler
from pipeline.browser.web_runtime import FILES
from pipeline.bundle.checksums import SUMS, read_sums, verify_bundle
from pipeline.bundle.write import WHOLE
from pipeline.errors import UnavailableError, UsageError

PAGE = Path(__file__).parent / "page"
INDEX = "index.html"


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
