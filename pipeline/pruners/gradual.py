"""Remove channels in steps, and train between them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from pipeline.errors import StageFailed
from pipeline.model import Model, read_blueprint
from pipeline.pruners.cut import Cut
from pipeline.pruners.groups import find_groups
from pipeline.pruners.structured import cut_down
from pipeline.pruners.training import AnyTraining
from pipeline.stage import Context, Stage
from pipeline.trainers.checkpoint import read_tensors, write_tensors
from pipeline.trainers.supervised import Train
from pipeline.trainers.transfer import within

FILE = "pruned.safetensors"
STEPS, BLUEPRINT = "pruning:steps", "pruning:blueprint"


class PruneGradually(Cut, Stage):
    """Remove channels in steps, each followed by training, which loses less than all at once.

    Every step removes the same share of what the one before it left, judges channels anew, and ends
    with ``between``; so the last training is the last of this stage. A resumed run goes on within a step.

    Attributes:
        steps: how many.
        between: the stage that trains after each step: ``Train``, ``Distill``, …
    """

    shared: ClassVar[bool] = True
    steps: Annotated[int, Field(ge=2)] = 4
    between: AnyTraining = Train(epochs=1)

    def needs(self) -> tuple[str, ...]:
        return self.between.needs()

    def describe(self) -> dict[str, Any]:
        """The training counts with its version, as it would on its own."""
        described = super().describe()
        described[self.kind] |= {"between": self.between.describe()}
        return described

    def __call__(self, value: Model, context: Context) -> Model:
        groups = find_groups(value.module, value.spec.shape)
        full = {makers[0]: groups.sizes[space] for space, makers in groups.makers.items()}
        done, model = resumed(value, context.checkpoint)
        for number in range(done, self.steps):
            model = self._step(model, number, full, context)
            if context.checkpoint and context.ranks.leads:
                keep(model, number + 1, context.checkpoint)
        if model.blueprint == value.blueprint:
            raise StageFailed("pruning removed nothing", "raise ratio, or lower round_to")
        return model

    def _step(self, model: Model, number: int, full: Mapping[str, int], context: Context) -> Model:
        """Prune to the next step's widths and train; nothing where rounding leaves all channels."""
        groups = find_groups(model.module, model.spec.shape)
        share = 1 - (1 - self.ratio) ** ((number + 1) / self.steps)
        cut = Cut(**{**{name: getattr(self, name) for name in Cut.model_fields}, "ratio": share})
        before = {space: full.get(makers[0], groups.sizes[space]) for space, makers in groups.makers.items()}
        smaller = cut_down(cut, model, groups, context, before)
        if smaller is None:
            return model
        taught: Model = self.between(smaller, within(context, f"step-{number}"))
        return taught


def keep(model: Model, steps: int, folder: Path) -> None:
    """Write the model after so many steps."""
    import torch

    structure = torch.frombuffer(bytearray(json.dumps(model.blueprint.written()).encode()), dtype=torch.uint8)
    write_tensors(folder, FILE, {**model.state, STEPS: torch.tensor(steps), BLUEPRINT: structure})


def resumed(value: Model, folder: Path | None) -> tuple[int, Model]:
    """How many steps are done, and the model after them."""
    saved = read_tensors(folder, FILE)
    if saved is None:
        return 0, value
    steps, structure = int(saved.pop(STEPS)), json.loads(bytes(saved.pop(BLUEPRINT).tolist()))
    blueprint = read_blueprint(structure)
    return steps, replace(value, module=blueprint.build(saved), blueprint=blueprint, state=saved)
