"""The fastest network that loses little enough, found by trying."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from filelock import FileLock
from pydantic import Field, field_validator

from pipeline.errors import StageFailed
from pipeline.files import write_files
from pipeline.model import Model
from pipeline.pruners.structured import Prune, inside_blocks
from pipeline.quantizers.aware import QuantizationAware
from pipeline.quantizers.post_training import PostTraining
from pipeline.runtime import AnyRuntime
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.spec import Positive, Ratio
from pipeline.stage import MODEL, Context, Stage
from pipeline.store import Store
from pipeline.trainers.distillation import Distill, by_blocks
from pipeline.trainers.plan import Plan
from pipeline.trainers.supervised import Train
from pipeline.tuners._combination import Combination, Limit, Quantization, Teaching, Tried, finalists, told
from pipeline.tuners._measured import QUICK, Gauge

if TYPE_CHECKING:
    from pipeline.tuners._hunt import Hunt
    from pipeline.tuners._workbench import Workbench

CHOICE, MODELS = "choice.json", "models"
TEACHER = "the given model"
AWARE_LR = 0.1  # of the rate that trained the float network


class AccuracyBudget(Plan, Stage):
    """The fastest combination of pruning, training and int8 that loses little enough, searched for.

    Each trial prunes, trains on labels or on the given model's answers as well, and quantizes; its file is asked
    for every validation image, and measured beside the given model's. What to try next is Optuna's choice (Akiba
    et al., 2019). The fastest few within the limit are measured once more, side by side. A search that was stopped
    goes on, and several runs may share one.

    Attributes:
        max_drop: top-1 that may be lost on validation images, a fraction of 1.
        judged_by: "interval": the whole paired interval of the loss keeps the limit; "estimate": the loss alone.
        trials: different combinations to try.
        ratios: of channels to remove; 0 removes none.
        teachings: ways to train what was pruned: "labels", "teacher", or "blocks", which families without residual
            streams do not have. quantizations: kinds of int8, and none.
        aware_epochs: of training in int8.
        round_to: kept widths are multiples of this.
        runtime: where files are measured. threads: of it.
        folder: of a search that several runs do together, "" for one of this run's own.
    """

    version: ClassVar[int] = 3
    requires: ClassVar[tuple[str, ...]] = ("optuna",)
    extra: ClassVar[str] = "tune"
    measures: ClassVar[bool] = True
    gives: ClassVar[str] = MODEL
    max_drop: Ratio = 0.01
    judged_by: Literal["interval", "estimate"] = "interval"
    trials: Positive = 16
    ratios: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)
    teachings: tuple[Teaching, ...] = ("labels", "teacher", "blocks")
    quantizations: tuple[Quantization, ...] = ("none", "after", "aware")
    epochs: Positive = 5
    lr: Annotated[float, Field(gt=0)] = 0.02
    aware_epochs: Positive = 1
    round_to: Positive = 8
    runtime: AnyRuntime = OnnxRuntime()
    threads: Positive = 1
    folder: str = ""

    @field_validator("ratios", "teachings", "quantizations")
    @classmethod
    def _something(cls, options: tuple[object, ...]) -> tuple[object, ...]:
        if not options or len(set(options)) < len(options):
            raise ValueError("give at least one, and none twice")
        return options

    @property
    def limit(self) -> Limit:
        return Limit(max_drop=self.max_drop, judged_by=self.judged_by)

    def stages(self, combination: Combination) -> Sequence[Stage]:
        """Those that make a combination of the given model."""
        plan = {name: getattr(self, name) for name in Plan.model_fields}
        found: list[Stage] = []
        if combination.ratio:
            found.extend(self._pruned(combination, plan))
        if combination.quantization == "after":
            found.append(PostTraining())
        if combination.quantization == "aware":
            gentle = {**plan, "epochs": self.aware_epochs, "lr": AWARE_LR * self.lr, "weight_decay": 0.0}
            found.append(QuantizationAware(teacher=TEACHER, **gentle))
        return found

    def _pruned(self, combination: Combination, plan: dict[str, Any]) -> Sequence[Stage]:
        """A cut, and the training after it."""
        if combination.teaching == "blocks":
            return inside_blocks(combination.ratio, self.round_to), by_blocks(TEACHER, **plan)
        cut = Prune(ratio=combination.ratio, round_to=self.round_to, compensate=True)
        return cut, Train(**plan) if combination.teaching == "labels" else Distill(teacher=TEACHER, **plan)

    def __call__(self, value: Model, context: Context) -> Model:
        from pipeline.tuners._hunt import Hunt, Space
        from pipeline.tuners._workbench import Workbench

        space = Space(self.ratios, self.teachings, self.quantizations)
        benchmark = QUICK.model_copy(update={"threads": self.threads})
        with self._kept(context) as folder, Gauge(self.runtime, context, benchmark) as gauge:
            bench = Workbench(self, value, context, gauge, Store(folder / MODELS))
            with Hunt(folder, space, self.trials, context.seed) as hunt:
                self._search(hunt, bench, context)
                tried = hunt.tried()
            chosen = self._chosen(tried, bench, folder)
            context.note("search", told(tried, self.limit, chosen))
            if chosen is not None:
                return bench.model(chosen)
        context.warn(self._in_vain(tried))
        return value

    @contextmanager
    def _kept(self, context: Context) -> Iterator[Path]:
        """Where the search lies: with the run's unfinished work, or with those who share it."""
        if self.folder:
            yield Path(self.folder).expanduser() / (context.checkpoint.name if context.checkpoint else "search")
        elif context.checkpoint:
            yield context.checkpoint
        else:
            with tempfile.TemporaryDirectory(prefix="edgewright-search-") as folder:
                yield Path(folder)

    def _search(self, hunt: Hunt, bench: Workbench, context: Context) -> None:
        while (asked := hunt.next(context.stop.check)) is not None:
            number, combination = asked
            context.progress(len(hunt.tried()), hunt.trials, combination.label)
            hunt.tell(number, bench.tried(combination))
            context.stop.check()

    def _chosen(self, tried: Sequence[Tried], bench: Workbench, folder: Path) -> Combination | None:
        """The fastest of the finalists, side by side; decided by one worker for all. None where none is faster."""
        with FileLock(folder / f"{CHOICE}.lock"):
            if (folder / CHOICE).is_file():
                known = json.loads((folder / CHOICE).read_text(encoding="utf-8"))
                return Combination.model_validate(known) if known else None
            candidates = [one.combination for one in finalists(tried, self.limit)]
            speeds = bench.speeds(candidates) if candidates else []
            faster = [(speed.value, number) for number, speed in enumerate(speeds) if speed.low > 1]
            chosen = candidates[max(faster)[1]] if faster else None
            content = json.dumps(chosen and chosen.model_dump(mode="json"))
            write_files(folder, {CHOICE: content.encode()})
            return chosen

    def _in_vain(self, tried: Sequence[Tried]) -> str:
        """Why the given model is given back.

        Raises:
            StageFailed: nothing that was tried could be measured.
        """
        losses = [one.loss.value for one in tried if one.loss is not None]
        if not losses:
            failure = tried[0].failure if tried else "nothing was tried"
            raise StageFailed(f"none of {len(tried)} combinations could be measured: {failure}")
        kept = sum(self.limit.keeps(one) for one in tried)
        why = "none of them was shown to be faster" if kept else f"the least loss was {100 * min(losses):.1f} points"
        limit = f"{kept} of {len(tried)} combinations keep the limit of {100 * self.max_drop:g} points"
        return f"{limit}; {why}: nothing was changed"
