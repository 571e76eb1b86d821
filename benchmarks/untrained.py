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
    import torch

    from pipeline.pruners.moved_statistics import norms
    from pipeline.stage import Context

    model: Model = family(None, Context(data.splits))
    few = data.splits.calibration.take(np.arange(IMAGES_FOR_STATISTICS)).normalized_as(model.spec)
    for layer in norms(model.module).values():
        layer.train().momentum = 1.0  # all of what is seen last
    with torch.no_grad():
        model.module(torch.from_numpy(few.x_NCHW()))
    return replace(model, module=model.module.eval(), state=model.module.state_dict())
