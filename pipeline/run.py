"""The loop: a study in, artifacts, measurements, a report and a bundle out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.artifact import MANIFEST, Artifact, read_manifest
from pipeline.aside import Crashed
from pipeline.assess import Answered, answer
from pipeline.conclude import Measured, conclude, reference_of
from pipeline.deliver import deliver
from pipeline.errors import DataError, EdgewrightError, GateFailed, StageFailed, Unfit
from pipeline.execute import Workshop
from pipeline.files import folder_lock, sweep
from pipeline.layers import layers_of
from pipeline.measure.machine import usable_cores
from pipeline.memory import keep_freed_memory
from pipeline.plan import Step, plan
from pipeline.progress import shown
from pipeline.ranks import NO_MORE, joined
from pipeline.results import Failure, Results
from pipeline.runtime import Runtime
from pipeline.signals import StopSignal
from pipeline.stage import ARTIFACT
from pipeline.store import FOLDER, Store
from pipeline.study import Study
from pipeline.timing import crashing, footprints, time_all

if TYPE_CHECKING:
    from pipeline.dataset import DataSet

NO_RUNTIME = "no runtime"


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
        DataError: nobody knows the labels, and the reference is not the first recipe.
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
            with shop.aside:
                made = make_all(shop, study)
                ranks.announce(NO_MORE)
                measured = replace(measure_all(shop, study, made.answered, made.failures), unrun=made.unrun)
                results = with_layers(shop, conclude(measured, shop.records), measured)
        deliver(out, results, measured)
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


@dataclass(frozen=True)
class Made:
    """The artifacts of a study: with their answers, or why there are none.

    Attributes:
        unrun: those that no runtime of the study opens.
        lost: recipes that a lenient study goes on without.
    """

    answered: list[Answered] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    unrun: list[Artifact] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)


def make_all(shop: Workshop, study: Study) -> Made:
    """Every artifact of the study, asked on each runtime that opens its format."""
    if not shop.data.labelled and study.recipes[0].name != study.reference:
        raise DataError("the images have no labels", f"let the reference, {study.reference}, be the first recipe")
    steps = [(step, runtimes_of(study, step)) for step in plan(study, shop.data.digest)]
    measuring = 2 + bool(study.benchmark.cold_starts)  # latency, and the operators of what is recommended
    shop.total = sum(1 + len(runtimes) for _, runtimes in steps) + measuring
    made = Made()
    for number, (step, runtimes) in enumerate(steps):
        if made.lost & {step.recipe, study.recipe(step.recipe).after, *step.teachers}:
            made.lost.add(step.recipe)
            continue
        try:
            make(shop, made, step, number, runtimes)
        except (StageFailed, GateFailed) as error:
            if not study.lenient or step.recipe == study.reference:
                raise
            made.lost.add(step.recipe)
            made.failures.append(left_out(shop, step, error))
            continue
        if step.recipe == study.reference and made.answered and not shop.data.test.labelled:
            first = made.answered[0]
            shop.data = shop.data.answered(first.validation_NK.argmax(1), first.test_NK.argmax(1))
    return made


def make(shop: Workshop, made: Made, step: Step, number: int, runtimes: Sequence[Runtime]) -> None:
    """One step, and where it makes an artifact its answers; a format may not be able to hold the model."""
    try:
        entry = shop.do(step, number)
    except Unfit as error:
        name = step.recipe, getattr(step.stage, "format", "")
        kinds = [runtime.kind for runtime in runtimes] or [NO_RUNTIME]
        made.failures.extend(failed(shop, name, kind, error.cause) for kind in kinds)
        return
    if step.stage.gives == ARTIFACT:
        artifact = Artifact(entry.folder, read_manifest(entry.folder / MANIFEST))  # the store verified it
        ask_all(shop, made, artifact, step, runtimes)


def left_out(shop: Workshop, step: Step, error: EdgewrightError) -> Failure:
    """Say that a recipe is lost, and go on without it."""
    shop.warn(f"{error.cause}; the study goes on without {step.recipe}")
    return Failure(recipe=step.recipe, format="", runtime="", reason=error.cause)


def ask_all(shop: Workshop, made: Made, artifact: Artifact, step: Step, runtimes: Sequence[Runtime]) -> None:
    """Add an artifact's answers on each runtime to what is made."""
    for runtime in runtimes:
        if reason := runtime.refusal(artifact.manifest):
            label = f"{' · '.join(named(artifact))} on {runtime.kind}"
            made.failures.append(failed(shop, named(artifact), runtime.kind, f"{label}: {reason}"))
            continue
        try:
            made.answered.append(answer(shop, artifact, step, runtime))
        except Crashed as error:
            made.failures.append(failed(shop, named(artifact), runtime.kind, error.cause))
    if not runtimes:
        reason = "no runtime of the study opens it: delivered as it was exported, its answers unchecked"
        shop.warn(f"{step.label}: {reason}")
        recipe, format_ = named(artifact)
        made.failures.append(Failure(recipe=recipe, format=format_, runtime=NO_RUNTIME, reason=reason))
        made.unrun.append(artifact)


def named(artifact: Artifact) -> tuple[str, str]:
    """Its recipe and its format."""
    return artifact.manifest.recipe, artifact.manifest.format


def failed(shop: Workshop, name: tuple[str, str], kind: str, reason: str) -> Failure:
    """Say that a variant, of that recipe and format on that runtime, is lost, and go on without it."""
    shop.warn(f"{reason}; the study goes on without it")
    return Failure(recipe=name[0], format=name[1], runtime=kind, reason=reason)


def measure_all(shop: Workshop, study: Study, answered: list[Answered], failures: list[Failure]) -> Measured:
    """Latency and footprint of all; those that crash meanwhile are left out.

    Raises:
        StageFailed: the reference cannot be measured.
    """
    reference = reference_of(study, answered)
    try:
        timed = time_all(shop, study, answered, reference)
    except Crashed:
        lost = crashing(shop, study, answered)
        if not lost:
            raise
        found = [
            failed(shop, named(item.artifact), item.runtime.kind, f"{item.label}, while it was timed: {cause}")
            for item, cause in ((answered[i], cause) for i, cause in lost.items())
        ]
        left = [item for index, item in enumerate(answered) if index not in lost]
        return measure_all(shop, study, left, [*failures, *found])
    return Measured(study, shop.data, answered, timed, footprints(shop, study, answered), failures)


def with_layers(shop: Workshop, results: Results, measured: Measured) -> Results:
    """The results with the recommended file's operators."""
    chosen = results.recommendation.variant
    if chosen is None:
        return results
    item = measured.answered[chosen]
    layers = layers_of(shop, item, measured.study.benchmark.threads)
    return results.model_copy(update={"layers": layers})


def runtimes_of(study: Study, step: Step) -> list[Runtime]:
    """The study's runtimes that open what a step makes."""
    return [runtime for runtime in study.runtimes if runtime.opens(getattr(step.stage, "format", ""))]
