"""A stage is a value that does one step of the work; a recipe is a chain of stages."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.errors import UsageError
from pipeline.plugin import Plugin, build, read
from pipeline.progress import Progress, silent
from pipeline.ranks import ALONE, Ranks
from pipeline.signals import StopSignal
from pipeline.spec import Name, Value

if TYPE_CHECKING:
    from pipeline.dataset import Splits
    from pipeline.model import Model

NOTHING, FLOAT, INT8, MODEL, ARTIFACT = "nothing", "float model", "int8 model", "model", "artifact"


def _forget(name: str, fact: Any) -> None:
    """Where nothing is recorded."""


@dataclass(frozen=True)
class Context:
    """What a stage may use besides its input. There is no test split in here.

    Attributes:
        data: train, calibration and validation images, fitted and normalized by one spec.
        device: "cpu", "cuda" or "cuda:N"; where training runs.
        seed: everything random in a stage is a function of it.
        checkpoint: folder for this stage's unfinished work; None keeps nothing.
        teacher: the model at the end of another recipe, by that recipe's name.
        stop: asked between steps; raises when the run was told to end.
        warn: says what a stage had to do otherwise than it was asked.
        ranks: the processes that train together.
        note: keeps a JSON-ready fact by its name with the stage's record.
    """

    data: Splits
    device: str = "cpu"
    seed: int = 0
    checkpoint: Path | None = None
    teacher: Callable[[str], Model] | None = None
    progress: Progress = silent
    stop: StopSignal = field(default_factory=StopSignal)
    warn: Callable[[str], None] = logging.getLogger("edgewright").warning
    ranks: Ranks = ALONE
    note: Callable[[str, Any], None] = _forget


class Stage(Plugin):
    """One step: calling it does the work and never changes its input.

    ``takes`` lists what may go in and ``gives`` names what comes out: "nothing", "float
    model", "int8 model", "model" (one of the two, as the stage finds best) or "artifact".
    A recipe whose chain does not fit is refused when it is built.
    """

    role: ClassVar[str] = "stage"
    takes: ClassVar[tuple[str, ...]] = (FLOAT,)
    gives: ClassVar[str] = FLOAT
    # Whether all processes of a run do this stage together, or the leader alone.
    shared: ClassVar[bool] = False
    # Whether it decides by time on this processor: on another one it is done again.
    measures: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, value: Any, context: Context) -> Any:
        """Do the work on ``value`` (None for a first stage) and return the new value."""

    def needs(self) -> tuple[str, ...]:
        """Names of the recipes whose models this stage asks for."""
        return ()


class Recipe(Value):
    """A name and a chain of stages, perhaps after another recipe's.

    Attributes:
        name: unique in its study; a folder's name.
        after: the recipe whose model this one starts from; "" for a fresh start.
        stages: in order.
    """

    name: Name
    after: str = ""
    stages: tuple[Stage, ...]

    def written(self) -> list[Any]:
        """The YAML view: a list whose first item may be ``after: NAME``."""
        start = [{"after": self.after}] if self.after else []
        return [*start, *(stage.written() for stage in self.stages)]


def read_recipe(name: str, data: Any, where: str) -> Recipe:
    """A recipe from its YAML view; the inverse of ``Recipe.written``."""
    if not isinstance(data, list) or not data:
        raise UsageError(f"{where}: expected a list of stages, got {data!r}")
    after = ""
    if isinstance(data[0], dict) and list(data[0]) == ["after"]:
        after, data = str(data[0]["after"]), data[1:]
    stages = tuple(read_stage(item, where) for item in data)
    return build(Recipe, {"name": name, "after": after, "stages": stages}, where)


def read_stage(data: Any, where: str) -> Stage:
    """A stage from its YAML view; the inverse of ``Stage.written``."""
    stage = read("stage", data, where)
    assert isinstance(stage, Stage)
    return stage


def check_chain(stages: Iterable[Stage], where: str) -> str:
    """What the chain gives in the end.

    Raises:
        UsageError: a stage takes something its predecessor does not give.
    """
    given, previous = NOTHING, "the start"
    for stage in stages:
        if given not in stage.takes:
            raise UsageError(
                f"{where}: {stage.kind} takes {' or '.join(stage.takes)}, but {previous} gives {given}",
                "begin with a model family; train, prune and distil; then quantize; then export",
            )
        given, previous = stage.gives, stage.kind
    return given
