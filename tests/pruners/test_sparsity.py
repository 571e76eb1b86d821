"""Zeros among the weights: as many as asked for, the smallest, and they stay while others are trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import FAMILIES, family, fingerprint

from pipeline.measure.size import compressed_bytes
from pipeline.model import WEIGHTS, Model
from pipeline.plugin import read
from pipeline.pruners.sparsity import Sparsify, largest
from pipeline.stage import Context
from pipeline.trainers.distillation import Distill
from pipeline.trainers.supervised import Train


def zeros(model: Model) -> tuple[int, int]:
    """Zeros among the weights of several axes, and these weights."""
    weights = [t for name, t in model.state.items() if name.endswith(".weight") and t.ndim > 1]
    return sum(int((weight == 0).sum()) for weight in weights), sum(weight.numel() for weight in weights)


@pytest.mark.parametrize("name", FAMILIES)
def test_as_many_zeros_as_asked_for(name: str, untrained: Model, context: Context) -> None:
    model = family(name, untrained)
    before = fingerprint(model)
    sparse = Sparsify(ratio=0.8)(model, context)
    gone, weights = zeros(sparse)
    assert gone == int(0.8 * weights)
    assert fingerprint(model) == before
    assert sparse.blueprint == model.blueprint
    others = [n for n, t in model.state.items() if not (n.endswith(".weight") and t.ndim > 1)]
    assert all(torch.equal(sparse.state[name], model.state[name]) for name in others)


@given(ratio=st.floats(0.001, 0.999), seed=st.integers(0, 99))
def test_the_smallest_go(ratio: float, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    state = {"a.weight": torch.randn(7, 5, generator=random), "b.weight": torch.randn(3, 4, 2, 2, generator=random)}
    kept = largest({**state, "norm.weight": torch.zeros(9), "a.bias": torch.zeros(7)}, ratio)
    assert kept.keys() == state.keys()
    stay = torch.cat([state[name][mask].abs() for name, mask in kept.items()])
    go = torch.cat([state[name][~mask].abs() for name, mask in kept.items()])
    assert len(go) == int(ratio * 83)
    assert not len(go) or not len(stay) or float(go.max()) <= float(stay.min())


def test_zeros_stay_while_the_others_are_trained(trained: Model, context: Context) -> None:
    tune = Train(epochs=2, batch=32, augment=(), lr=0.05, ema=0.9)
    alone, tuned = (Sparsify(ratio=0.6, tune=stage)(trained, context) for stage in (None, tune))
    assert zeros(tuned)[0] == zeros(alone)[0]
    names = [name for name, tensor in alone.state.items() if name.endswith(".weight") and tensor.ndim > 1]
    assert all(bool((tuned.state[name][alone.state[name] == 0] == 0).all()) for name in names)
    assert not torch.equal(tuned.state[names[0]], alone.state[names[0]])
    assert tuned.state.keys() == trained.state.keys()
    assert type(tuned.module.features[0][0]) is torch.nn.Conv2d  # no trace of the masks


def test_the_file_packs_and_is_as_large_as_before(trained: Model, context: Context, tmp_path: Path) -> None:
    sizes = []
    for model in (trained, Sparsify(ratio=0.9)(trained, context)):
        model.save(tmp_path)
        sizes.append(((tmp_path / WEIGHTS).stat().st_size, compressed_bytes(tmp_path / WEIGHTS)))
    (whole, packed), (sparse, sparse_packed) = sizes
    assert abs(whole - sparse) < 0.01 * whole
    assert sparse_packed < 0.5 * packed


def test_what_it_needs_and_how_it_is_written() -> None:
    stage = Sparsify(ratio=0.9, tune=Distill(teacher="large"))
    assert stage.needs() == ("large",)
    assert Sparsify().needs() == ()
    assert stage.written() == {"Sparsify": {"ratio": 0.9, "tune": {"Distill": {"teacher": "large"}}}}
    assert read("stage", stage.written(), "here") == stage
    assert read("stage", "Sparsify", "here") == Sparsify()
    assert stage.describe()["Sparsify"]["tune"] == stage.tune.describe()
