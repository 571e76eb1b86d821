"""The verbs for what an app takes away: parses, calls, prints."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.verbs import Options, verb


@verb
def bundle(
    run: Annotated[str, typer.Argument(help="A study that was run, or its output folder.")],
    options: Options,
    recipe: Annotated[
        str | None, typer.Option("--recipe", help="Any recipe of the run; the recommended one unless given.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", metavar="DIR", help="Photographs to become golden; the run's own unless given."),
    ] = None,
    sign: Annotated[
        Path | None, typer.Option("--sign", metavar="KEY.pem", help="Sign it with this private key.")
    ] = None,
) -> None:
    """Make one folder for an app of any recipe: models, labels, golden images, card, examples, self-test."""
    from pipeline.bundle.from_run import bundle_of
    from pipeline.bundle.signature import sign as sign_folder
    from pipeline.settings import finished_folder

    folder = bundle_of(finished_folder(run), recipe, options.out, images)
    signature = sign_folder(folder, sign) if sign else None
    lines = [f"bundle: {folder}", *([f"signature: {signature}"] if signature else [])]
    options.tell("\n".join(lines), {"bundle": str(folder), "signature": str(signature) if signature else None})


@verb
def demo(
    folder: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle's folder.")],
    options: Options,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where to serve; 0 is any.")] = 8000,
    host: Annotated[str, typer.Option("--host", help="0.0.0.0 lets phones in your network open it.")] = "127.0.0.1",
    certificate: Annotated[
        Path | None,
        typer.Option("--certificate", metavar="PEM", help="Serve https, which a phone's live camera asks for."),
    ] = None,
    runtime: Annotated[
        Path | None,
        typer.Option("--onnxruntime-web", metavar="DIR", help="Its dist folder; npm fetches it once unless given."),
    ] = None,
) -> None:
    """Open a bundle in a browser: pictures or camera, top five, latency, golden self-test. Ctrl-C ends it."""
    from pipeline.browser.web_runtime import web_runtime
    from pipeline.demo.server import demo_server

    found = web_runtime(runtime, options.console().print)
    with demo_server(folder, found, host, port, certificate) as server:
        address = f"http{'s' if certificate else ''}://{host}:{server.server_address[1]}/"
        options.tell(f"open {address}", {"address": address})
        server.serve_forever()
