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
