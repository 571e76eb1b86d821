"""One network: every peer's files made, asked the same, and timed in one interleaved run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers.client import Client, PeerFailed
from benchmarks.peers.environments import environment
from benchmarks.peers.peer import PRUNED, Made, load
from benchmarks.peers.record import Network, Row
from pipeline.errors import EdgewrightError
from pipeline.measure.latency import Opener, measure_latency
from pipeline.measure.statistics import paired_difference, wilson
from pipeline.measure.timings import Timings, summarize
from pipeline.progress import Progress, silent
from pipeline.study import Benchmark

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MADE = "made.json"


@dataclass
class Entry:
    """A row while it comes to be.

    Attributes:
        fields: of the row that are known. client: its process; None where it cannot be measured.
    """

    peer: str
    precision: str
    fields: dict[str, Any] = field(default_factory=dict)
    client: Client | None = None
    file: Path = Path()
    logits_NK: NDArray[np.float32] | None = None

    def fail(self, error: EdgewrightError) -> None:
        self.fields["failure"] = "; ".join(error.lines())
        self.client = None

    def row(self) -> Row:
        return Row(peer=self.peer, title=load(self.peer).TITLE, precision=self.precision, **self.fields)


def compare(name: str, work: Path, peers: Sequence[str], benchmark: Benchmark, progress: Progress = silent) -> Network:
    """The order in ``work/order``, done by every peer; the first peer's first file is the reference."""
    import numpy as np

    order = work / "order"
    entries = [Entry(peer, precision) for peer in peers for precision in load(peer).PRECISIONS]
    with ExitStack() as stack:
        for number, entry in enumerate(entries):
            progress(number, len(entries), f"{entry.peer}, {entry.precision}")
            begin(entry, order, work / entry.peer / entry.precision, benchmark.threads, stack)
        labels_N = np.load(order / "labels.npy")
        judge(entries, labels_N)
        timings = timed(entries, order / "image.npy", benchmark, progress)
    return Network(
        name=name,
        images=len(labels_N),
        rows=tuple(entry.row() for entry in entries),
        conditions=timings.conditions(0) if timings else None,
    )


def begin(entry: Entry, order: Path, out: Path, threads: int, stack: ExitStack) -> None:
    """Have the file made, opened in a process that stays, and its answers collected."""
    try:
        python = environment(load(entry.peer).ENVIRONMENT)
        made = make(entry, python, order, out)
        entry.client = stack.enter_context(Client(entry.peer, python))
        entry.fields |= {"note": made.note, "bytes": total_bytes(made.file), **entry.client.facts()}
        entry.file = made.file
        entry.client.open(made.file, threads, order / "image.npy")
        if entry.precision != PRUNED:  # what was not fine-tuned has no accuracy to compare
            entry.logits_NK = entry.client.answers(order / "test.npy")
    except EdgewrightError as error:
        entry.fail(error)


def make(entry: Entry, python: Path, order: Path, out: Path) -> Made:
    """Have the file made in a process of its own, or find it made by an earlier run."""
    note = out / MADE
    if note.is_file():
        said = json.loads(note.read_text())
        return Made(out / said["file"], said["note"])
    with Client(entry.peer, python) as client:
        made = client.make(order, out, entry.precision)
    note.write_text(json.dumps({"file": made.file.name, "note": made.note}))
    return made


def total_bytes(file: Path) -> int:
    """Of a folder's files, or of a file and those that share its stem, as weights beside a graph do."""
    files = file.rglob("*") if file.is_dir() else (path for path in file.parent.iterdir() if path.stem == file.stem)
    return sum(path.stat().st_size for path in files if path.is_file())


def judge(entries: Sequence[Entry], labels_N: NDArray[np.int64]) -> None:
    """Accuracy of all, and against the first."""
    reference_NK = entries[0].logits_NK
    if reference_NK is None:
        return
    classes_N = reference_NK.argmax(axis=1)
    for entry in entries:
        if entry.logits_NK is not None:
            own_N = entry.logits_NK.argmax(axis=1)
            entry.fields["top1"] = wilson(int((own_N == labels_N).sum()), len(labels_N))
            entry.fields["versus_ours"] = paired_difference(classes_N == labels_N, own_N == labels_N)
            entry.fields["agreement"] = float((own_N == classes_N).mean())


def timed(entries: Sequence[Entry], image: Path, benchmark: Benchmark, progress: Progress) -> Timings | None:
    """All that can be timed, together; who dies is left out, and the others are timed anew."""
    while able := [entry for entry in entries if entry.client is not None]:
        try:
            timings = measure_latency([opener(entry, image, benchmark) for entry in able], benchmark, progress=progress)
        except PeerFailed as error:
            next(entry for entry in able if entry.client is error.client).fail(error)
            continue
        for entry, latency in zip(able, summarize(timings, 0), strict=True):
            entry.fields["latency"] = latency
        return timings
    return None


def opener(entry: Entry, image: Path, benchmark: Benchmark) -> Opener:
    client = entry.client
    assert client is not None
    return lambda: client.open(entry.file, benchmark.threads, image)
