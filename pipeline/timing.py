"""How fast every artifact is, how it starts, and how near that is to the limit: done aside, kept in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.artifact import Artifact
from pipeline.aside import Crashed
from pipeline.assess import Answered, Arrays
from pipeline.execute import Workshop
from pipeline.measure.footprint import Start, cold_start, summary
from pipeline.measure.latency import MOST_WARM_UP_CALLS, REVISION, Timer, measure_latency, session_timer
from pipeline.measure.limit import Floor, floor
from pipeline.measure.machine import cpu_name
from pipeline.measure.timings import LEAST_SITTINGS, Timings
from pipeline.memory import keep_freed_memory
from pipeline.progress import Progress, shown
from pipeline.results import Footprint, Sweep
from pipeline.runtime import Runtime
from pipeline.spec import key_of
from pipeline.study import Benchmark, Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Entrant:
    """A file on a runtime, with so many threads and images a call.

    Attributes:
        variant: which of the study's it is a case of.
    """

    variant: int
    runtime: Runtime
    artifact: Artifact
    threads: int
    batch: int

    def open(self, fitted_NHWC: NDArray[np.uint8]) -> Timer:
        """Open the file, and time it on the first images."""
        x_NCHW = self.artifact.manifest.input.normalize(fitted_NHWC[: self.batch])
        return session_timer(self.runtime.open(self.artifact, self.threads), x_NCHW)


@dataclass(frozen=True)
class Timed:
    """What was timed: one column of ``timings`` an entrant, the study's variants first.

    Attributes:
        floors: the least time that each variant could need here.
        refused: sweeps that could not be measured, with the reason.
    """

    timings: Timings
    floors: tuple[Floor, ...]
    entrants: tuple[Entrant, ...]
    refused: tuple[Sweep, ...] = ()


def time_all(shop: Workshop, study: Study, answered: Sequence[Answered], reference: int) -> Timed:
    """Every variant and every sweep of it, interleaved.

    Raises:
        Crashed: one of them kills the process; ``crashing`` finds out which.
    """
    asked, refused = entrants_of(answered, study.benchmark)
    timing = study.benchmark.model_dump(mode="json", exclude={"cold_starts"})
    key = key_of([[item.key for item in answered], timing, REVISION, cpu_name()])

    def make() -> tuple[Arrays, Mapping[str, Any]]:
        images, benchmark = _images(shop, asked), study.benchmark
        with shown(shop.console, "latency") as progress:
            arguments = (asked, images, benchmark, study.seed, reference)
            timings = shop.aside.do(measure, *arguments, progress=progress)
        floors = shop.aside.do(floors_of, [item.artifact for item in answered], benchmark.threads)
        facts = {"sittings": len(timings.sittings), "floors": [floor.model_dump() for floor in floors]}
        return Arrays(timings.to_arrays()), facts

    entry = shop.cached(key, "latency of all variants, interleaved", "", make)
    floors = tuple(Floor.model_validate(plain) for plain in entry.facts["floors"])
    timings = Timings.from_arrays(Arrays.load(entry.folder).named)
    return Timed(timings, floors, tuple(asked), tuple(refused))


def entrants_of(answered: Sequence[Answered], benchmark: Benchmark) -> tuple[list[Entrant], list[Sweep]]:
    """What is to be timed, variants first, and the sweeps that are impossible."""
    variants = [
        Entrant(index, item.runtime, item.artifact, benchmark.threads, 1) for index, item in enumerate(answered)
    ]
    sweeps = [
        replace(entrant, threads=threads, batch=batch)
        for entrant in variants
        for threads in dict.fromkeys((benchmark.threads, *benchmark.sweep_threads))
        for batch in dict.fromkeys((1, *benchmark.sweep_batches))
        if (threads, batch) != (benchmark.threads, 1)
    ]
    possible = [entrant for entrant in sweeps if entrant.artifact.manifest.batch in (0, entrant.batch)]
    refused = [_refused(entrant) for entrant in sweeps if entrant not in possible]
    return [*variants, *possible], refused


def _refused(entrant: Entrant) -> Sweep:
    batch = entrant.artifact.manifest.batch
    note = f"the file takes {batch} image{'s' if batch > 1 else ''} a call"
    return Sweep(variant=entrant.variant, threads=entrant.threads, batch=entrant.batch, note=note)


def _images(shop: Workshop, entrants: Sequence[Entrant]) -> NDArray[np.uint8]:
    """Validation images for the largest batch, the same ones again where there are fewer."""
    import numpy as np

    most, validation = max(entrant.batch for entrant in entrants), shop.data.splits.validation
    fitted_NHWC = validation.images.fitted_NHWC(0, most)
    return fitted_NHWC[np.arange(most) % len(fitted_NHWC)]


def crashing(shop: Workshop, study: Study, answered: Sequence[Answered]) -> dict[int, str]:
    """Which variants kill the process that calls them, each tried alone, and of what it died."""
    asked, _ = entrants_of(answered, study.benchmark)
    images = _images(shop, asked)
    # As often as a measurement does at least: some die of memory that they never give back.
    calls = MOST_WARM_UP_CALLS + LEAST_SITTINGS * study.benchmark.rounds * study.benchmark.calls
    causes = {entrant.variant: cause for entrant in asked if (cause := _crash(shop, entrant, images, calls))}
    return dict(sorted(causes.items()))


def _crash(shop: Workshop, entrant: Entrant, fitted_NHWC: NDArray[np.uint8], calls: int) -> str:
    try:
        shop.aside.do(attempt, entrant, fitted_NHWC, calls)
    except Crashed as error:
        return error.cause
    return ""


def measure(
    entrants: Sequence[Entrant],
    fitted_NHWC: NDArray[np.uint8],
    benchmark: Benchmark,
    seed: int,
    reference: int,
    progress: Progress,
) -> Timings:
    """In the process aside: time them all."""
    keep_freed_memory()
    openers = [partial(entrant.open, fitted_NHWC) for entrant in entrants]
    return measure_latency(openers, benchmark, seed, progress, reference)


def attempt(entrant: Entrant, fitted_NHWC: NDArray[np.uint8], calls: int) -> None:
    """In the process aside: open one and call it."""
    entrant.open(fitted_NHWC)(calls)


def floors_of(artifacts: Sequence[Artifact], threads: int) -> list[Floor]:
    """In the process aside: the least time that each could need."""
    manifests = [artifact.manifest for artifact in artifacts]
    sizes = [artifact.bytes for artifact in artifacts]
    return [floor(m.macs, size, m.integer, threads) for m, size in zip(manifests, sizes, strict=True)]


def footprints(shop: Workshop, study: Study, answered: Sequence[Answered]) -> list[Footprint | None]:
    """How each variant starts in a process of its own; None where the study does not ask."""
    starts = study.benchmark.cold_starts
    if not starts:
        return [None for _ in answered]
    key = key_of([[item.key for item in answered], {"cold_starts": starts}, cpu_name()])

    def make() -> tuple[Arrays, Mapping[str, Any]]:
        with shown(shop.console, "cold starts") as progress:
            found = _started(shop, answered, study.benchmark, progress)
        return Arrays({}), {"footprints": [footprint.model_dump() if footprint else None for footprint in found]}

    entry = shop.cached(key, "cold start and memory of every variant", "", make)
    return [Footprint.model_validate(plain) if plain else None for plain in entry.facts["footprints"]]


def _started(
    shop: Workshop, answered: Sequence[Answered], benchmark: Benchmark, progress: Progress
) -> list[Footprint | None]:
    """Starts of all variants, one after the other and then all again; none of one that crashes or works apart."""
    fitted_NHWC = shop.data.splits.validation.images.fitted_NHWC(0, 1)
    starts: dict[int, list[Start]] = {index: [] for index, item in enumerate(answered) if not item.runtime.apart}
    for kind in dict.fromkeys(item.runtime.kind for item in answered if item.runtime.apart):
        shop.warn(f"{kind} works in a program of its own: how it starts, and its memory, are not measured")
    for done in range(benchmark.cold_starts):
        for index in list(starts):
            item = answered[index]
            x_1CHW = item.artifact.manifest.input.normalize(fitted_NHWC)
            try:
                starts[index].append(cold_start(item.runtime, item.artifact, x_1CHW, benchmark.threads))
            except Crashed as error:
                shop.warn(f"{item.label}: {error.cause} in a new process; how it starts is not known")
                del starts[index]
        progress(done + 1, benchmark.cold_starts)
    return [summary(starts.get(index, ())) for index in range(len(answered))]
