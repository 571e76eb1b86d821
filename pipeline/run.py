"""The loop: a study in, artifacts, measurements, a report and a bundle out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.artifact import MANIFEST, Artifact, read_manifest
from pipeline.assess import Answered, answer, time_all
from pipeline.conclude import Measured, conclude
from pipeline.execute import Workshop
from pipeline.files import copy_files, folder_lock, sha256_of, sweep, write_files
from pipeline.measure.machine import usable_cores
from pipeline.memory import keep_freed_memory
from pipeline.plan import Step, plan
from pipeline.progress import shown
from pipeline.ranks import NO_MORE, joined
from pipeline.results import RESULTS, Results
from pipeline.runtime import Runtime
from pipeline.signals import StopSignal
from pipeline.stage import ARTIFACT
from pipeline.store import FOLDER, Store
from pipeline.study import Study

if TYPE_CHECKING:
    from pipeline.dataset import DataSet

MODELS = "models"
REPORT = "report.html"
BUNDLE = "bundle"


def run(
    study: Study,
    out: Path | None = None,
    *,
    device: str = "auto",
    threads: int | None = None,
    console: Console | None = None,
    held: bool = False,
) -> Results:
    """Do a study, or as much of it as is not done yet, and deliver into ``out``.

    Args:
        out: ``exported/<study>`` unless given.
        device: where training runs: "auto", "cpu", "cuda" or "cuda:N".
        threads: of PyTorch while training; every usable core unless given.
        console: where progress goes; stderr unless given.
        held: the caller has the lock of ``out`` already, and keeps it.

    Raises:
        EdgewrightError: see ``errors.py`` for the tree and what each branch means.
    """
    out = out or Path("exported") / study.name
    keep_freed_memory()  # before anything is timed, so that a cached run is timed alike
    stop = StopSignal()
    with stop.installed(), nullcontext() if held else folder_lock(out):
        store = Store(out / FOLDER)
        store.open()
        sweep(out)
        console, threads = console or Console(stderr=True), threads or usable_cores()
        with joined() as ranks:
            shop = Workshop(loaded(study, console), store, console, stop, study.seed, device, threads, ranks=ranks)
            for sentence in (*shop.data.left_out, *shop.data.duplicates):
                shop.warn(sentence)
            answered = make_all(shop, study)
            ranks.announce(NO_MORE)
        ms_RSC = time_all(shop, study, answered)
        results = conclude(Measured(study, shop.data, answered, ms_RSC), shop.records)
        deliver(out, results, shop.data, answered)
    return results


def follow(study: Study, out: Path | None = None, *, device: str = "auto", threads: int | None = None) -> None:
    """Train along with a leader that does the same study, until it needs no more help."""
    stop, console = StopSignal(), Console(stderr=True, quiet=True)
    store = Store((out or Path("exported") / study.name) / FOLDER)
    with joined() as ranks:
        threads = threads or usable_cores()
        shop = Workshop(loaded(study, console), store, console, stop, study.seed, device, threads, ranks=ranks)
        steps = plan(study, shop.data.digest)
        while (number := ranks.hear()) != NO_MORE:
            with stop.installed():  # elsewhere a signal ends a follower at once
                shop.assist(steps[number])


def loaded(study: Study, console: Console) -> DataSet:
    """The study's images; whoever waits for the first look at many files sees how far it is."""
    with shown(console, "images") as progress:
        return study.data.load(progress)


def make_all(shop: Workshop, study: Study) -> list[Answered]:
    """Every artifact of the study, with its answers on each runtime that opens its format."""
    steps = [(step, runtimes_of(study, step)) for step in plan(study, shop.data.digest)]
    shop.total = sum(1 + len(runtimes) for _, runtimes in steps) + 1  # and the latency of all
    answered: list[Answered] = []
    for number, (step, runtimes) in enumerate(steps):
        entry = shop.do(step, number)
        if step.stage.gives == ARTIFACT:
            artifact = Artifact(entry.folder, read_manifest(entry.folder / MANIFEST))  # the store verified it
            answered += [answer(shop, artifact, step.key, runtime) for runtime in runtimes]
    return answered


def runtimes_of(study: Study, step: Step) -> list[Runtime]:
    """The study's runtimes that open what a step makes."""
    return [runtime for runtime in study.runtimes if runtime.format == getattr(step.stage, "format", "")]


def deliver(out: Path, results: Results, data: DataSet, answered: list[Answered]) -> None:
    """Bring the output folder to hold exactly what the results describe."""
    from pipeline.report.html import render

    folders = {out / MODELS / a.artifact.manifest.recipe / a.artifact.manifest.format: a.artifact for a in answered}
    hashes = {folder: _hashes(artifact) for folder, artifact in folders.items()}
    for folder, artifact in folders.items():
        copy_files(artifact.folder, folder, hashes[folder])
    remove_stale(out / MODELS, set(folders))
    text = json.dumps(results.model_dump(mode="json"), indent=1, ensure_ascii=False)
    write_files(out, {RESULTS: text.encode(), REPORT: render(results).encode()})
    deliver_bundle(out, results, data, answered)
    vouch(out, {folder / name: digest for folder, named in hashes.items() for name, digest in named.items()})


def vouch(out: Path, known: Mapping[Path, str]) -> None:
    """Write the hash of every delivered file, so that `edgewright verify` finds any change."""
    from pipeline.bundle.checksums import SUMS, delivered, sums_text

    hashes = {name: known.get(out / name) or sha256_of(out / name) for name in delivered(out)}
    write_files(out, {SUMS: sums_text(hashes)})


def deliver_bundle(out: Path, results: Results, data: DataSet, answered: list[Answered]) -> None:
    """The recommended recipe's ONNX model as one folder for an app; none where nothing fits."""
    from pipeline.bundle.write import write_bundle

    index = bundled(results)
    if index is None:
        shutil.rmtree(out / BUNDLE, ignore_errors=True)
        return
    item = answered[index]
    session = item.runtime.open(item.artifact, 1)
    write_bundle(out / BUNDLE, item.artifact, data.raw_test, session, results.variants[index], results.study)


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
