"""Statistics move with what norms read, and with nothing else."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pipeline.model import Model
from pipeline.pruners.moved_statistics import norms, with_statistics
from pipeline.stage import Context


def every(model: Model) -> dict[str, torch.Tensor]:
    """All channels of all norms."""
    return {name: torch.arange(layer.num_features) for name, layer in norms(model.module).items()}


def answers(module: nn.Module, model: Model, context: Context) -> torch.Tensor:
    with torch.no_grad():
        return module(torch.from_numpy(context.data.validation.normalized_as(model.spec).x_NCHW()))


def test_where_nothing_changed_nothing_moves(trained: Model, context: Context) -> None:
    module = with_statistics(copy.deepcopy(trained.module), trained, every(trained), context)
    for name, tensor in module.state_dict().items():
        torch.testing.assert_close(tensor, trained.state[name], rtol=1e-5, atol=1e-6)


@given(scale=st.floats(0.2, 5))
def test_a_norm_undoes_what_scales_its_input(trained: Model, context: Context, scale: float) -> None:
    module = copy.deepcopy(trained.module)
    first = next(layer for layer in module.modules() if isinstance(layer, nn.Conv2d))
    with torch.no_grad():
        first.weight *= scale
    moved = with_statistics(module, trained, every(trained), context)
    wanted = answers(trained.module, trained, context)
    assert float((answers(moved, trained, context) - wanted).abs().max()) < 0.05 * float(wanted.std())


def test_a_norm_that_only_passes_on_goes_on_so(trained: Model, context: Context) -> None:
    """Its statistics are those of no images."""
    module = copy.deepcopy(trained.module)
    name, passing = next(iter(norms(module).items()))
    for tensor, value in ((passing.weight, 1.0), (passing.bias, 0.0), (passing.running_mean, 0.0)):
        nn.init.constant_(tensor, value)
    nn.init.constant_(passing.running_var, 1 - passing.eps)
    model = replace(trained, module=module, state=module.state_dict())
    moved = norms(with_statistics(copy.deepcopy(module), model, every(model), context))[name]
    assert float(moved.running_mean.abs().max()) < 1e-4
    assert float((moved.running_var + moved.eps - 1).abs().max()) < 1e-4


@pytest.mark.parametrize(
    "features", [nn.BatchNorm1d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False)]
)
def test_norms_without_statistics_have_none_to_move(features: nn.Module) -> None:
    assert bool(norms(nn.Sequential(features))) == features.track_running_stats
