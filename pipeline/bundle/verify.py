"""``edgewright verify``: is this still what was written?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.artifact import MANIFEST, PROBE, Artifact
from pipeline.bundle.checksums import SUMS, refuse_added, verify_bundle
from pipeline.bundle.write import PREPROCESS
from pipeline.errors import CorruptFile, UsageError
from pipeline.results import RESULTS, read_results
from pipeline.store import ENTRY


def verify_folder(folder: Path) -> list[str]:
    """Check a bundle, an artifact, or a study with all its artifacts, bundle and results.

    Returns:
        one line for each thing that was checked.

    Raises:
        CorruptFile: names the first file that is not the one that was written.
        NewerFormat: something was written by a later edgewright.
        UsageError: there is nothing to verify in ``folder``.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "give a bundle, an artifact or an exported study")
    checked = [line for place in _places(folder) for line in _verify_place(place, folder)]
    if (folder / RESULTS).is_file():
        checked.append(_verify_results(folder))
    if not checked:
        fix = f"give a folder with {SUMS}, {MANIFEST} or {RESULTS} in it or below"
        raise UsageError(f"there is nothing to verify in {folder}", fix)
    return checked


def _places(folder: Path) -> Iterator[Path]:
    """Folders to check, in order; a run keeps its own business in hidden ones."""
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if SUMS in names:
            below.clear()  # these sums answer for everything inside
        yield Path(place)


def _verify_place(place: Path, root: Path) -> Iterator[str]:
    label = place.relative_to(root).as_posix() if place != root else place.resolve().name
    if (place / SUMS).is_file():
        yield f"{label}: {'study' if (place / RESULTS).is_file() else 'bundle'}, {verify_bundle(place)} files"
    elif (place / MANIFEST).is_file():
        yield f"{label}: {_verify_artifact(place)}"
    elif (place / PREPROCESS).is_file():
        raise CorruptFile(f"{place / SUMS} is missing")


def _verify_artifact(place: Path) -> str:
    manifest = Artifact.load(place).manifest
    for name in (manifest.file, *manifest.parts, PROBE):
        if name not in manifest.sha256:
            raise CorruptFile(f"{place / MANIFEST} does not vouch for {name}", "export it again")
    refuse_added(place, manifest.sha256.keys() | {MANIFEST, ENTRY})
    return f"{manifest.format} artifact, {len(manifest.sha256)} files"


def _verify_results(folder: Path) -> str:
    """The results can be read, and every artifact they speak of is there."""
    try:
        results = read_results(folder)
    except UsageError as error:
        raise CorruptFile(error.cause, error.fix) from None
    for variant in results.variants:
        if not (folder / variant.folder / MANIFEST).is_file():
            raise CorruptFile(f"{folder / variant.folder / MANIFEST} is missing", "run the study again")
    return f"{RESULTS}: {len(results.variants)} variants"
