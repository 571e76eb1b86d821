"""Torch-Pruning: channels of least magnitude removed to half the MACs, as ONNX in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peers.ours import open as open  # the same runtime with the same settings
from benchmarks.peers.peer import MACS_LEFT, PRUNED, ROUND_TO, Made, pruned_note

TITLE = "Torch-Pruning, ONNX Runtime"
ENVIRONMENT = "torch"
PACKAGES = ("torch-pruning", "torch", "onnxruntime")
PRECISIONS = (PRUNED,)
STEPS = 50


def make(order: Path, out: Path, _precision: str) -> Made:
    import torch
    import torch_pruning  # type: ignore[import-not-found]

    from pipeline.model import Model, last_linear

    model = Model.load(order / "network")
    example_NCHW = torch.zeros(1, *model.spec.shape)
    before, _ = torch_pruning.utils.count_ops_and_params(model.module, example_NCHW)
    pruner = torch_pruning.pruner.BasePruner(
        model.module,
        example_NCHW,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=False,
        pruning_ratio=1.0,
        iterative_steps=STEPS,
        round_to=ROUND_TO,
        ignored_layers=[last_linear(model.module)[1]],
    )
    after = before
    for _ in range(STEPS):
        if after <= MACS_LEFT * before:
            break
        pruner.step()
        after, _ = torch_pruning.utils.count_ops_and_params(model.module, example_NCHW)
    made = out / "pruned.onnx"
    torch.onnx.export(model.module, (example_NCHW,), made, dynamo=True, external_data=False, input_names=["input"])
    return Made(made, pruned_note(after, before))
