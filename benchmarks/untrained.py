"""Networks that nobody trained, for what has no need of answers: speed, sizes, and whether a file can be made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.dataset import DataSet
    from pipeline.model import Model
    from pipeline.models.architecture import Architecture

IMAGES_FOR_STATISTICS = 32


def untrained(family: Architecture, data: DataSet) -> Model:
    """A family with random weights, and BatchNorm statistics of real images: values lie where trained ones do."""
    import numpy as np

    from pipeline.pruners.compensation import with_statistics
    from pipeline.stage import Context

    few = data.splits.calibration.take(np.arange(IMAGES_FOR_STATISTICS))
    context = Context(replace(data.splits, calibration=few))
    model: Model = family(None, context)
    module = with_statistics(model.module, model, context)
    return replace(model, module=module, state=module.state_dict())
