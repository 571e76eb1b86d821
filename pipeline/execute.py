"""Steps into stored values: what is in the store is used, the rest is done and stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from rich.console import Console

from pipeline.artifact import MANIFEST, Artifact, Draft
from pipeline.aside import Aside
from pipeline.dataset import DataSet
from pipeline.errors import CorruptFile, EdgewrightError, ParityMiss, StageFailed, UnavailableError, unforeseen
from pipeline.files import full_disk_is_an_error, temporary_folder
from pipeline.measure.accuracy import answers
from pipeline.measure.parity import compare_logits
from pipeline.model import Model
from pipeline.plan import Step
from pipeline.progress import shown
from pipeline.ranks import ALONE, Ranks
from pipeline.results import StageRecord
from pipeline.signals import StopSignal
from pipeline.stage import ARTIFACT, Context
from pipeline.store import Entry, Store

PARITY_IMAGES = 32
T = TypeVar("T")


class Saved(Protocol):
    """Anything that writes itself into a folder."""

    def save(self, folder: Path) -> None: ...


@dataclass
class Workshop:
    """Where steps are done: the data, the store, and what has been done so far.

    Attributes:
        device: where training runs, as asked for; it is looked for when something is trained.
        total: how many pieces of work the run has, for the progress lines.
        ranks: the processes that train together; this is the leader's workshop unless it assists.
        aside: the process in which files are opened by runtimes.
        records: one a finished piece, in order.
        warnings: what was said of the work, in order.
    """

    data: DataSet
    store: Store
    console: Console
    stop: StopSignal
    seed: int
    device: str
    threads: int
    total: int = 0
    ranks: Ranks = ALONE
    aside: Aside = field(default_factory=Aside)
    records: list[StageRecord] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def model(self, key: str) -> Model:
        """The model at the end of a finished step."""
        if key not in self.models:
            self.models[key] = Model.load(self.store.root / key)
        return self.models[key]

    def before(self, key: str) -> Model | Artifact:
        """What a finished step made, for the one after it."""
        folder = self.store.root / key
        return Artifact.load(folder) if (folder / MANIFEST).is_file() else self.model(key)

    def do(self, step: Step, number: int) -> Entry:
        """Do one step of a recipe, the study's ``number``-th, or find it done."""
        return self.cached(step.key, step.label, step.recipe, lambda: self._made(step, number))

    def assist(self, step: Step) -> None:
        """Train along with the leader, who keeps the result."""
        self._value(step, {})

    def cached(self, key: str, label: str, recipe: str, make: Callable[[], tuple[Saved, Mapping[str, Any]]]) -> Entry:
        """The entry of that key; ``make`` gives its value and facts if there is none."""
        entry = self._found(key)
        status: Literal["done", "cached"] = "cached" if entry else "done"
        if entry is None:
            start = time.monotonic()
            with explained(label), full_disk_is_an_error(self.store.root), self.no_checkpoint_of_a_failure(key):
                value, facts = self._attempt(key, make)
            entry = self.store.put(key, value.save, round(time.monotonic() - start, 3), facts)
            self.store.forget_checkpoint(key)
        record = StageRecord(
            label=label, recipe=recipe, key=key, seconds=entry.seconds, status=status, facts=entry.facts
        )
        self.records.append(record)
        self.console.print(_line(record, len(self.records), self.total), highlight=False, markup=False, soft_wrap=True)
        return entry

    @contextmanager
    def no_checkpoint_of_a_failure(self, key: str) -> Iterator[None]:
        """A stage that failed would fail again from its checkpoint: nothing of it is kept."""
        try:
            yield
        except StageFailed:
            self.store.forget_checkpoint(key)
            raise

    def _attempt(self, key: str, make: Callable[[], T]) -> T:
        """Make it; from the start, where the checkpoint turns out to be damaged."""
        try:
            return make()
        except CorruptFile as error:
            if not self.store.checkpoint(key).exists():
                raise
            self.warn(f"{error.cause}; the stage starts over")
            self.store.forget_checkpoint(key)
            return make()

    def warn(self, text: str) -> None:
        self.warnings.append(text)
        self.console.print(f"warning: {text}", style="yellow", soft_wrap=True)

    def _found(self, key: str) -> Entry | None:
        try:
            return self.store.get(key)
        except CorruptFile as error:
            self.warn(f"{error.cause}; it is made again")
            self.store.discard(key)
            return None

    def _made(self, step: Step, number: int) -> tuple[Saved, Mapping[str, Any]]:
        if step.stage.shared:
            self.ranks.announce(number)
        known, noted = len(self.warnings), dict[str, Any]()
        value = self._value(step, noted)
        if step.stage.gives == ARTIFACT:
            return _signed(value, step), {"params": value.manifest.params, "macs": value.manifest.macs}
        told = self.warnings[known:]
        return value, self._facts(value, step) | noted | ({"warnings": told} if told else {})

    def _value(self, step: Step, noted: dict[str, Any]) -> Any:
        """What the step's stage makes; what it notes is added to ``noted``."""
        import torch

        torch.set_num_threads(max(1, self.threads // self.ranks.world))
        device = usable_device(self.device, self.ranks.local)
        before = self.before(step.before) if step.before else None
        spec = before.manifest.input if isinstance(before, Artifact) else before.spec if before else None
        splits = self.data.splits
        with shown(self.console, step.label) as progress:
            context = Context(
                splits.normalized_as(spec) if spec else splits,
                device,
                self.seed,
                self.store.checkpoint(step.key),
                lambda name: self.model(step.teachers[name]),
                progress,
                self.stop,
                self.warn,
                self.ranks,
                noted.__setitem__,
            )
            return step.stage(before, context)

    def _facts(self, value: Model, step: Step) -> dict[str, Any]:
        """Check that the model survives being saved, and note its validation accuracy."""
        validation = self.data.splits.validation.normalized_as(value.spec)
        probe = validation.x_NCHW(0, PARITY_IMAGES)
        with reloaded(value, self.store) as again:
            parity = compare_logits(value.logits_NK(probe), again.logits_NK(probe))
        if parity.max_difference > 1e-5 * max(1.0, parity.scale):
            raise ParityMiss(f"saving and loading changed the answers by {parity.max_difference:.3g}")
        self.models[step.key] = value
        if not validation.labelled:  # as long as the reference has not answered
            return {}
        logits_NK = answers(value.logits_NK, validation)
        return {"validation_top1": float((logits_NK.argmax(1) == validation.labels_N).mean())}


@contextmanager
def reloaded(value: Model, store: Store) -> Iterator[Model]:
    """The model as it comes back from disk."""
    with temporary_folder(store.root) as folder:
        value.save(folder)
        yield Model.load(folder)


def usable_device(device: str, local: int = 0) -> str:
    """The device to train on: "auto" is a GPU, or the CPU where there is none.

    Args:
        local: which GPU, where ``device`` does not say: each process of a machine has its own.

    Raises:
        UnavailableError: the one asked for is not there.
    """
    import torch

    found = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    found = f"cuda:{local}" if found == "cuda" else found
    try:
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError) as error:
        cause = f"device {device!r} cannot be used: {str(error).splitlines()[0][:120]}"
        raise UnavailableError(cause, "use --device cpu, or see `edgewright doctor`") from error
    return found


def _signed(draft: Draft, step: Step) -> Draft:
    """The draft with the recipe's name and lineage in its manifest."""
    manifest = draft.manifest.model_copy(update={"recipe": step.recipe, "lineage": step.lineage})
    return replace(draft, manifest=manifest)


def _line(record: StageRecord, index: int, total: int) -> str:
    top1 = record.facts.get("validation_top1")
    note = f"  validation top-1 {top1:.1%}" if top1 is not None else ""
    return f"[{index:>3}/{total}] {record.label:<52} {record.seconds:6.1f} s  {record.status}{note}"


@contextmanager
def explained(label: str) -> Iterator[None]:
    """Give every failure of a step the step's name, and unexpected ones an exit code."""
    try:
        yield
    except EdgewrightError as error:
        if isinstance(error, StageFailed):
            raise type(error)(f"{label}: {error.cause}", error.fix) from error
        raise
    except Exception as error:
        known = unforeseen(error)
        raise type(known)(f"{label}: {known.cause}", known.fix) from error
