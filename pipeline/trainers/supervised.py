"""Training on labels."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import ClassVar

from pipeline.model import Model
from pipeline.stage import Context, Stage
from pipeline.trainers.fit import cross_entropy, fit
from pipeline.trainers.plan import Plan


class Train(Plan, Stage):
    """Train all weights on labels, or fine-tune them after pruning."""

    shared: ClassVar[bool] = True

    def __call__(self, value: Model, context: Context) -> Model:
        module = copy.deepcopy(value.module).train()
        fit(module, cross_entropy(self), self, context)
        return replace(value, module=module.eval(), state=module.state_dict())
