"""Random weights whose values lie where trained ones do."""

from __future__ import annotations

import numpy as np

from benchmarks.untrained import untrained
from pipeline.data.digits import Digits
from pipeline.models.resnet import ResNet18


def test_values_have_the_statistics_of_real_images() -> None:
    """BatchNorm was given what images bring, so 18 layers neither blow values up nor lose them."""
    data = Digits().load()
    model = untrained(ResNet18(width=0.25, stem_stride=1), data)
    assert not model.module.training
    first = model.module.bn1
    assert first.running_mean.abs().max() > 0
    logits_NK = model.logits_NK(data.splits.calibration.normalized_as(model.spec).x_NCHW(0, 8))
    assert 0.01 < np.abs(logits_NK).max() < 100
