"""A stage inside of a pruning stage: the training that wins accuracy back."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer

from pipeline.stage import FLOAT, Stage, read_stage


def _read(data: Any) -> Stage:
    return data if isinstance(data, Stage) else read_stage(data, "training")


def _trains(stage: Stage) -> Stage:
    if FLOAT not in stage.takes or stage.gives != FLOAT:
        raise ValueError(f"{stage.kind} does not take and give a float model")
    return stage


# Any stage from a float model to a float model: ``Train``, ``Distill``, ``Transfer``.
AnyTraining = Annotated[
    Stage, BeforeValidator(_read), AfterValidator(_trains), PlainSerializer(lambda stage: stage.written())
]
