"""What each layer of a network takes in a runtime at several widths: timed once a machine, and remembered."""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.aside import Aside
from pipeline.data._root import cache_root
from pipeline.errors import ResourceError, StageFailed, UsageError
from pipeline.files import write_files
from pipeline.measure.machine import cpu_name, measuring_alone
from pipeline.memory import keep_freed_memory
from pipeline.progress import Progress, silent
from pipeline.runtime import Runtime
from pipeline.spec import key_of
from pipeline.stranger import unvouched
from pipeline.tuners._layers import Layer, LayerShape, Point
from pipeline.tuners._table import Table, axes_of

Times = dict[LayerShape, dict[Point, float]]

REVISION = 1  # raised when the same points come to be timed otherwise
# Of every file, all files in turn: whatever else runs only adds time, so the least counts.
OPENINGS = 3
MOST_WEIGHTS = 2**23  # of a file's branches together, unless it has only one
OWN = re.compile(r"\b(\d+):")  # what the runtime fuses may begin with its own words


@dataclass(frozen=True)
class Bench:
    """Where layers are timed.

    Attributes:
        integer: in int8. threads: of the runtime.
    """

    runtime: Runtime
    integer: bool
    threads: int

    @property
    def memory(self) -> Path:
        """Where times are remembered: they hold for this processor and this version of the runtime."""
        here = [self.runtime.describe(), self.runtime.releases(), cpu_name(), REVISION]
        return cache_root() / "layers" / f"{key_of([*here, self.integer, self.threads])}.json"


@dataclass(frozen=True)
class Part:
    """Some points of one shape, which share a file."""

    shape: LayerShape
    points: tuple[Point, ...]


def timed_layers(layers: Iterable[Layer], step: int, bench: Bench, progress: Progress = silent) -> Table:
    """A table with every layer at multiples of ``step``; what is remembered is not timed again.

    Raises:
        StageFailed: the runtime does not tell what its operators take.
        Crashed: the runtime died of a layer.
    """
    wanted: defaultdict[LayerShape, set[Point]] = defaultdict(set)
    for layer in layers:
        wanted[layer.shape] |= {*axes_of(layer, step).points()}
    with measuring_alone():  # who else wants the same waits, and then finds it
        known = remembered(bench.memory)
        missing = {shape: points - known.get(shape, {}).keys() for shape, points in wanted.items()}
        parts = [part for shape, points in missing.items() for part in parted(shape, sorted(points))]
        for part, times in zip(parts, _timed(parts, bench, progress), strict=True):
            known.setdefault(part.shape, {}).update(zip(part.points, times, strict=True))
        if parts:
            _remember(bench.memory, known)
    return Table(known, step)


def parted(shape: LayerShape, points: Sequence[Point]) -> Iterator[Part]:
    """The points in files that are not too large."""
    part: list[Point] = []
    for point in points:
        if part and sum(shape.weights(*one) for one in [*part, point]) > MOST_WEIGHTS:
            yield Part(shape, tuple(part))
            part = []
        part.append(point)
    if part:
        yield Part(shape, tuple(part))


def _timed(parts: Sequence[Part], bench: Bench, progress: Progress) -> list[list[float]]:
    """Milliseconds of every point of every part: the least of several openings, in random order."""
    from pipeline.tuners._layer_files import write_layers

    order, found = random.Random(0), [[float("inf")] * len(part.points) for part in parts]  # noqa: S311
    with tempfile.TemporaryDirectory(prefix="edgewright-layers-") as folder, Aside() as aside:
        for number, part in enumerate(parts):
            write_layers(part.shape, part.points, bench.integer, Path(folder) / f"{number}.onnx")
        for opening in range(OPENINGS):
            for done, number in enumerate(order.sample(range(len(parts)), len(parts))):
                progress(opening * len(parts) + done, OPENINGS * len(parts), "layers")
                again = aside.do(branches_ms, bench.runtime, Path(folder) / f"{number}.onnx", bench.threads)
                if len(again) < len(parts[number].points):
                    raise StageFailed(f"{bench.runtime.kind} does not tell what {parts[number].shape} takes")
                found[number] = [min(ms) for ms in zip(found[number], again, strict=True)]
    return found


def branches_ms(runtime: Runtime, path: Path, threads: int) -> list[float]:
    """In the process aside: milliseconds of each branch of a file, those of its own nodes together."""
    import numpy as np

    keep_freed_memory()
    artifact = unvouched(path, runtime.format, 1, (1, 1, 1))
    total: defaultdict[int, float] = defaultdict(float)
    for kernel in runtime.profile(artifact, np.ones((1, 1, 1, 1), np.float32), threads):
        if own := OWN.search(kernel.name):
            total[int(own[1])] += kernel.ms
    return [total[branch] for branch in sorted(total)]


def remembered(memory: Path) -> Times:
    """What was timed before; nothing where it is missing or damaged."""
    try:
        entries = json.loads(memory.read_text(encoding="utf-8"))
        return {
            LayerShape.model_validate_json(text): {
                (int(inputs), int(outputs)): float(ms) for inputs, outputs, ms in points
            }
            for text, points in entries.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(memory: Path, times: Mapping[LayerShape, Mapping[Point, float]]) -> None:
    """Keep them; where that cannot be, they are timed again next time."""
    entries = {
        shape.model_dump_json(exclude_defaults=True): [(*point, ms) for point, ms in points.items()]
        for shape, points in times.items()
    }
    try:
        write_files(memory.parent, {memory.name: json.dumps(entries).encode()})
    except (OSError, ResourceError, UsageError):
        return
