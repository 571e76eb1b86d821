"""The one training loop: it learns, it is a function of the seed, and it refuses NaN."""

from __future__ import annotations

import copy
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import fingerprint
from torch import nn
from torch.nn import functional as F

from pipeline.dataset import Samples
from pipeline.errors import NotANumber, ResourceError, Terminated
from pipeline.model import Model
from pipeline.signals import StopSignal
from pipeline.stage import Context
from pipeline.trainers.feed import Batch
from pipeline.trainers.fit import cross_entropy, fit
from pipeline.trainers.plan import Plan
from pipeline.trainers.supervised import Train

PLAN = Plan(epochs=2, batch=32, lr=0.05, augment="none")


def loss_on(model: Model, samples: Samples) -> float:
    logits_NK = torch.from_numpy(model.logits_NK(samples.x_NCHW()))
    return float(F.cross_entropy(logits_NK, torch.from_numpy(samples.labels_N)))


def test_training_learns(untrained: Model, trained: Model, full_context: Context) -> None:
    splits = full_context.data
    assert loss_on(trained, splits.train) < 0.5 * loss_on(untrained, splits.train)
    right = trained.logits_NK(splits.validation.x_NCHW()).argmax(1) == splits.validation.labels_N
    assert right.mean() > 0.85


def test_adamw_learns_too(untrained: Model, full_context: Context) -> None:
    stage = Train(epochs=4, optimizer="adamw", lr=0.005, augment="none", smoothing=0)
    train = full_context.data.train
    assert loss_on(stage(untrained, full_context), train) < 0.5 * loss_on(untrained, train)


def test_result_is_in_eval_mode_on_the_cpu(trained: Model) -> None:
    assert not any(layer.training for layer in trained.module.modules())
    assert {parameter.device.type for parameter in trained.module.parameters()} == {"cpu"}
    assert all(parameter.is_contiguous() for parameter in trained.module.parameters())


def test_weights_are_a_function_of_the_seed(untrained: Model, context: Context) -> None:
    stage = Train(epochs=1, batch=32)
    torch.manual_seed(1)
    first = fingerprint(stage(untrained, context))
    torch.manual_seed(2)
    assert fingerprint(stage(untrained, context)) == first
    assert fingerprint(stage(untrained, replace(context, seed=1))) != first


def test_weights_that_are_not_numbers_stop_at_the_first_step(
    untrained: Model, context: Context, tmp_path: Path
) -> None:
    state = {name: tensor.clone() for name, tensor in untrained.state.items()}
    state["features.0.0.weight"][0] = float("nan")
    broken = replace(untrained, module=untrained.blueprint.build(state), state=state)
    with pytest.raises(NotANumber, match="step 1 of") as caught:
        Train(epochs=2, batch=32)(broken, replace(context, checkpoint=tmp_path))
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_step_that_is_not_a_number_changes_nothing(value: str, context: Context, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    seen: list[torch.Tensor] = []

    def loss(network: nn.Module, batch: Batch) -> torch.Tensor:
        seen.append(module[1].weight.detach().clone())
        return F.cross_entropy(network(batch.x_NCHW), batch.targets) * (float(value) if len(seen) == 3 else 1.0)

    with pytest.raises(NotANumber, match="step 3 of 6"):
        fit(module, loss, PLAN, replace(context, checkpoint=tmp_path))
    assert len(seen) == 3
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(module[1].weight, seen[2])
    assert list(tmp_path.iterdir()) == []


def test_a_far_too_high_rate_is_found(untrained: Model, context: Context) -> None:
    with pytest.raises(NotANumber) as caught:
        Train(epochs=4, batch=32, lr=1e30)(untrained, context)
    assert "lower lr" in caught.value.fix


def test_fewer_images_than_a_batch(untrained: Model, context: Context) -> None:
    few = replace(context.data, train=context.data.train.take(np.arange(5)))
    done: list[tuple[int, int]] = []
    Train(epochs=2)(untrained, replace(context, data=few, progress=lambda step, total, _: done.append((step, total))))
    assert done == [(1, 2), (2, 2)]


# --- memory, norms, gradients ---------------------------------------------------------------


def hungry(limit: int, text: str) -> Callable[[nn.Module, Batch], torch.Tensor]:
    """A loss that has memory for ``limit`` images only."""

    def loss(network: nn.Module, batch: Batch) -> torch.Tensor:
        if len(batch.targets) > limit:
            raise RuntimeError(text)
        return F.cross_entropy(network(batch.x_NCHW), batch.targets)

    return loss


OUT = ["CUDA out of memory. Tried to allocate 2 GiB", "DefaultCPUAllocator: can't allocate memory: you tried"]


@pytest.mark.parametrize("text", OUT)
def test_out_of_memory_halves_batch_and_rate_and_says_so(text: str, context: Context, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    twin = copy.deepcopy(module)
    told: list[str] = []
    fit(module, hungry(10, text), PLAN, replace(context, warn=told.append, checkpoint=tmp_path))
    assert told == [
        "out of memory: starting over with batch 16 and, to match it, lr 0.025",
        "out of memory: starting over with batch 8 and, to match it, lr 0.0125",
    ]
    fit(twin, hungry(10, text), PLAN.model_copy(update={"batch": 8, "lr": 0.0125}), context)
    assert torch.equal(module[1].weight, twin[1].weight)


def test_no_memory_for_one_image(context: Context) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    with pytest.raises(ResourceError, match="one image"):
        fit(module, hungry(0, OUT[0]), PLAN, replace(context, warn=lambda _: None))


def test_another_runtime_error_is_not_about_memory(context: Context) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    with pytest.raises(RuntimeError, match="else"):
        fit(module, hungry(0, "something else"), PLAN, context)


def test_a_halved_training_resumes_halved(context: Context, tmp_path: Path) -> None:
    """Killed after memory ran out, it goes on with the batch it came to, and does not try the large one again."""
    twin = copy.deepcopy(module := nn.Sequential(nn.Flatten(), nn.Linear(256, 10)))
    stop, told = StopSignal(), list[str]()

    def interrupt(done: int, total: int, note: str = "") -> None:
        stop._received = signal.SIGTERM if done == 5 else None

    stopped = replace(context, checkpoint=tmp_path, stop=stop, progress=interrupt, warn=lambda _: None)
    with pytest.raises(Terminated):
        fit(copy.deepcopy(module), hungry(16, OUT[0]), PLAN, stopped)
    fit(module, hungry(16, OUT[0]), PLAN, replace(context, checkpoint=tmp_path, warn=told.append))
    fit(twin, cross_entropy(PLAN.model_copy(update={"smoothing": 0.0})), PLAN.halved(), context)
    assert told == []
    assert torch.equal(module[1].weight, twin[1].weight)


def test_frozen_norms_keep_their_statistics(trained: Model, context: Context) -> None:
    kept = Train(epochs=1, batch=32, lr=0.01, freeze_norm=True)(trained, context)
    moved = Train(epochs=1, batch=32, lr=0.01)(trained, context)
    name = "features.0.1.running_mean"
    assert torch.equal(kept.state[name], trained.state[name])
    assert not torch.equal(moved.state[name], trained.state[name])


def test_a_clipped_gradient_moves_less(untrained: Model, context: Context) -> None:
    def moved(clip: float) -> float:
        after = Train(epochs=1, batch=96, lr=0.1, augment="none", clip=clip, weight_decay=0)(untrained, context)
        return sum(
            float((after.state[name] - tensor.detach()).square().sum())
            for name, tensor in untrained.module.named_parameters()
        )

    assert moved(0.01) < 0.05 * moved(0)


def test_the_average_is_what_is_kept(untrained: Model, context: Context) -> None:
    last, average = (Train(epochs=2, batch=32, augment="none", ema=ema)(untrained, context) for ema in (0.0, 0.9))
    assert fingerprint(last) != fingerprint(average)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_compiled_training_is_training(context: Context) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(256, 10))
    twin = copy.deepcopy(module)
    fit(module, cross_entropy(PLAN), PLAN.model_copy(update={"compile": True}), context)
    fit(twin, cross_entropy(PLAN), PLAN, context)
    torch.testing.assert_close(module[1].weight, twin[1].weight, atol=1e-5, rtol=1e-4)


def test_progress_tells_images_a_second(untrained: Model, context: Context) -> None:
    notes: list[str] = []
    Train(epochs=1, batch=32)(untrained, replace(context, progress=lambda *given: notes.append(given[2])))
    assert all(note.startswith("loss ") and note.endswith(" images/s") for note in notes)
