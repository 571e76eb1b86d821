"""Results into the output folder: written last, and whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.artifact import MANIFEST, Artifact, read_manifest
from pipeline.assess import Answered
from pipeline.conclude import Measured, predictions
from pipeline.dataset import DataSet
from pipeline.files import copy_files, sha256_of, write_files
from pipeline.predictions import PREDICTIONS, Predictions
from pipeline.results import RESULTS, Results

MODELS = "models"
REPORT, SPREADSHEET, TABLE = "report.html", "results.csv", "results.md"
BUNDLE = "bundle"


def deliver(out: Path, results: Results, measured: Measured) -> None:
    """Bring the output folder to hold exactly what the results describe."""
    answered = measured.answered
    artifacts = [*(item.artifact for item in answered), *measured.unrun]
    folders = {out / MODELS / one.manifest.recipe / one.manifest.format: one for one in artifacts}
    hashes = {folder: _hashes(artifact) for folder, artifact in folders.items()}
    for folder, artifact in folders.items():
        copy_files(artifact.folder, folder, hashes[folder])
    remove_stale(out / MODELS, set(folders))
    said = predictions(measured, results.recommendation.variant)
    text = json.dumps(results.model_dump(mode="json"), indent=1, ensure_ascii=False)
    write_files(out, {RESULTS: text.encode(), PREDICTIONS: said.to_bytes(), **reports(results, said)})
    deliver_bundle(out, results, measured.data, answered)
    vouch(out, {folder / name: digest for folder, named in hashes.items() for name, digest in named.items()})


def reports(
    results: Results, said: Predictions | None, others: Sequence[tuple[Results, Predictions | None]] = ()
) -> dict[str, bytes]:
    """What people read, by file name: the page, a spreadsheet, and a table for a pull request.

    Args:
        others: runs of the study on other machines, for the same page.
    """
    from pipeline.report.html import render
    from pipeline.report.spreadsheet import to_csv
    from pipeline.report.tables import markdown

    texts = {
        REPORT: render(results, said, others=others),
        "results.csv": to_csv(results),
        "results.md": markdown(results),
    }
    return {name: text.encode() for name, text in texts.items()}


def vouch(out: Path, known: Mapping[Path, str]) -> None:
    """Write the hash of every delivered file, so that `edgewright verify` finds any change."""
    from pipeline.bundle.checksums import SUMS, delivered, sums_text

    hashes = {name: known.get(out / name) or sha256_of(out / name) for name in delivered(out)}
    write_files(out, {SUMS: sums_text(hashes)})


def deliver_bundle(out: Path, results: Results, data: DataSet, answered: Sequence[Answered]) -> None:
    """The recommended recipe's ONNX model as one folder for an app; none where nothing fits."""
    from pipeline.bundle.card import Shipped
    from pipeline.bundle.write import write_bundle

    index = bundled(results)
    if index is None:
        shutil.rmtree(out / BUNDLE, ignore_errors=True)
        return
    item = answered[index]
    session = item.runtime.open(item.artifact, 1)
    write_bundle(out / BUNDLE, item.artifact, data.raw_test, session, Shipped(results, index))


def bundled(results: Results) -> int | None:
    """Index of the variant whose ONNX file an app gets."""
    chosen = results.recommendation.variant
    if chosen is None:
        return None
    recipe = results.variants[chosen].recipe
    fitting = [i for i, v in enumerate(results.variants) if v.recipe == recipe and v.format == "onnx"]
    return fitting[0] if fitting else None


def _hashes(artifact: Artifact) -> dict[str, str]:
    return {**artifact.manifest.sha256, MANIFEST: sha256_of(artifact.folder / MANIFEST)}


def remove_stale(models: Path, wanted: set[Path]) -> None:
    """Remove artifact folders that no longer belong to the study."""
    for manifest in list(models.rglob(MANIFEST)):
        if manifest.parent not in wanted:
            read_manifest(manifest)  # only ever delete what an edgewright wrote
            shutil.rmtree(manifest.parent)
            if not os.listdir(manifest.parent.parent):
                manifest.parent.parent.rmdir()
