"""``edgewright bench``: any files side by side, without a study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.aside import Aside
from pipeline.errors import EdgewrightError, UnavailableError, UsageError
from pipeline.measure.footprint import cold_start, summary
from pipeline.measure.latency import Timer, measure_latency, session_timer
from pipeline.measure.machine import machine_facts, versions
from pipeline.measure.size import compressed_bytes
from pipeline.measure.timings import Timings, summarize
from pipeline.memory import keep_freed_memory
from pipeline.plugin import discover, lookup
from pipeline.progress import Progress, silent
from pipeline.results import Conditions, Footprint, Latency
from pipeline.rewrites.external_data import external_files, whole_bytes
from pipeline.runtime import Runtime
from pipeline.spec import Value
from pipeline.stranger import Stranger, looked_at
from pipeline.study import Benchmark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA_VERSION = 1


class Benched(Value):
    """One file on one runtime.

    Attributes:
        input: shape of a call's input. latency: of a call; ratios are to the first row.
        footprint: nothing where it was not asked for, or the runtime works in a program of its own.
    """

    file: str
    runtime: str
    threads: int
    batch: int
    input: tuple[int, ...]
    latency: Latency
    images_per_s: float
    file_bytes: int
    compressed_bytes: int
    footprint: Footprint | None = None


class NotBenched(Value):
    """One that could not be measured, and why."""

    file: str
    runtime: str
    reason: str


class Bench(Value):
    """What ``edgewright bench`` found."""

    schema_version: int = SCHEMA_VERSION
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    benchmark: Mapping[str, Any]
    conditions: Conditions
    rows: tuple[Benched, ...]
    failures: tuple[NotBenched, ...]


@dataclass(frozen=True)
class Candidate:
    """A file on a runtime, with so many threads and images a call."""

    stranger: Stranger
    runtime: Runtime
    threads: int
    batch: int

    @property
    def label(self) -> str:
        return f"{self.stranger.name} on {self.runtime.kind}"

    def x_NCHW(self) -> NDArray[np.float32] | NDArray[np.uint8]:
        """Noise of the shape that the file takes."""
        return self.stranger.noise(self.batch)

    def open(self) -> Timer:
        return session_timer(self.runtime.open(self.stranger.artifact, self.threads), self.x_NCHW())


def bench(
    paths: Sequence[Path],
    benchmark: Benchmark,
    runtimes: Sequence[str] = (),
    *,
    shape: tuple[int, int, int] | None = None,
    trusted: bool = False,
    progress: Progress = silent,
) -> Bench:
    """Measure every file on every runtime that opens it, interleaved; what crashes is left out.

    Args:
        runtimes: by name; unless given, all that are installed and do not work in a program of their own.
        shape: (channels, height, width), for files that do not say.
        trusted: files that are programs may be run.

    Raises:
        UsageError: no such file or runtime, or a file that is no image classifier.
        UnavailableError: a runtime that is named is not installed, or nothing could be measured.
    """
    with Aside() as aside:
        strangers = [looked_at(path, aside, shape, trusted) for path in paths]
        asked = list(candidates(strangers, benchmark, runtimes))
        failures = [found for one in asked if (found := _failure(aside, one))]
        failed = {(one.file, one.runtime) for one in failures}
        able = [one for one in asked if (one.stranger.name, one.runtime.kind) not in failed]
        if not able:
            reason = failures[0].reason if failures else "no installed runtime opens them"
            raise UnavailableError(f"nothing could be measured: {reason}", "see `edgewright list` for runtimes")
        timings = aside.do(measure, able, benchmark, progress=progress)
    return _concluded(able, timings, benchmark, failures)


def candidates(strangers: Sequence[Stranger], benchmark: Benchmark, runtimes: Sequence[str]) -> Iterator[Candidate]:
    """Every file on every runtime of its format, with every number of threads and images it takes."""
    chosen = _chosen(runtimes)
    for stranger in strangers:
        for plugin in chosen:
            if not plugin.opens(stranger.artifact.manifest.format):
                continue
            for threads in dict.fromkeys((benchmark.threads, *benchmark.sweep_threads)):
                for batch in stranger.batches((1, *benchmark.sweep_batches)):
                    yield Candidate(stranger, plugin(), threads, batch)


def _chosen(names: Sequence[str]) -> list[type[Runtime]]:
    """The runtimes of these names in the order of the room; without names, those that are here and not apart."""
    asked = [lookup("runtime", name, "--runtime") for name in names]
    known: list[type[Runtime]] = [plugin for plugin in discover("runtime").values() if issubclass(plugin, Runtime)]
    return [one for one in known if (one in asked if names else not (one.missing() or one.apart))]


def _failure(aside: Aside, one: Candidate) -> NotBenched | None:
    """Why it cannot be measured, tried aside."""
    try:
        aside.do(attempt, one)
    except EdgewrightError as error:
        return NotBenched(file=one.stranger.name, runtime=one.runtime.kind, reason=error.cause)
    return None


def attempt(one: Candidate) -> None:
    """In the process aside: open it and call it.

    Raises:
        UsageError: its answer is not a row of numbers an image.
    """
    session, x_NCHW = one.runtime.open(one.stranger.artifact, one.threads), one.x_NCHW()
    try:
        answer = session(x_NCHW)
    except Exception as error:
        why = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(f"{one.label} does not answer to {_text(x_NCHW.shape)}: {why[-1]}") from error
    if answer.ndim != 2 or len(answer) != one.batch:
        raise UsageError(f"{one.label} gives {_text(answer.shape)}; a classifier gives N×K, K numbers an image")


def _text(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def measure(able: Sequence[Candidate], benchmark: Benchmark, progress: Progress) -> Timings:
    """In the process aside: time them all."""
    keep_freed_memory()
    openers: list[Callable[[], Timer]] = [partial(Candidate.open, one) for one in able]
    return measure_latency(openers, benchmark, progress=progress)


def _concluded(
    able: Sequence[Candidate], timings: Timings, benchmark: Benchmark, failures: Sequence[NotBenched]
) -> Bench:
    return Bench(
        machine=machine_facts(),
        versions={**versions(), **{name: told for one in able for name, told in one.runtime.releases().items()}},
        benchmark=benchmark.model_dump(mode="json"),
        conditions=timings.conditions(0),
        rows=tuple(_row(one, latency, benchmark) for one, latency in zip(able, summarize(timings, 0), strict=True)),
        failures=tuple(dict.fromkeys(failures)),
    )


def _row(one: Candidate, latency: Latency, benchmark: Benchmark) -> Benched:
    artifact, x_NCHW = one.stranger.artifact, one.x_NCHW()
    starts = [
        cold_start(one.runtime, artifact, x_NCHW, one.threads)  # type: ignore[arg-type]
        for _ in range(0 if one.runtime.apart else benchmark.cold_starts)
    ]
    return Benched(
        file=one.stranger.name,
        runtime=one.runtime.kind,
        threads=one.threads,
        batch=one.batch,
        input=x_NCHW.shape,
        latency=latency,
        images_per_s=1e3 * one.batch / latency.p50_ms.value,
        file_bytes=sum(map(whole_bytes, artifact.files)),
        compressed_bytes=sum(map(compressed_bytes, (*artifact.files, *external_files(artifact.path)))),
        footprint=summary(starts),
    )
