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
    import torch
    from torch import nn

    from pipeline.stage import Context

    model: Model = family(None, Context(data.splits))
    module = model.module.train()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the mean over all that is seen
            layer.reset_running_stats()
    images = data.splits.calibration.normalized_as(model.spec)
    with torch.no_grad():
        module(torch.from_numpy(images.x_NCHW(0, IMAGES_FOR_STATISTICS)))
    return replace(model, module=module.eval(), state=module.state_dict())
