"""The figures of preprocessing inside the graph, on a small network and pictures of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tiny import hand_made
from torch import nn

from benchmarks.preprocessing import by_torchvision, by_torchvision_on_tensors, figures
from pipeline.artifact import Artifact, Manifest
from pipeline.exporters.onnx import ExportOnnx
from pipeline.spec import InputSpec


class Coloured(nn.Module):
    """Two layers that tell colours and places apart."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8 * 8 * 8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(torch.relu(self.one(x)).flatten(1))


def small(folder: Path) -> Artifact:
    model = hand_made(Coloured)
    ExportOnnx().write(model, folder / "model.onnx")
    facts = {"recipe": "small", "format": "onnx", "file": "model.onnx", "integer": False, "batch": 1}
    rest = {"params": 1, "macs": 1, "lineage": (), "tools": {}}
    return Artifact(folder, Manifest(**facts, **rest, input=model.spec, classes=model.classes))


def noise(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (9 + index % 7, 14, 3), np.uint8) for index in range(count)]


def test_every_promise_is_asked_and_kept(tmp_path: Path) -> None:
    found = list(figures("small", small(tmp_path), noise(80)))
    assert [figure.name.partition(", ")[0] for figure in found] == [
        "small: same top-1 as with torchvision",
        "small: same top-1 as with torchvision on tensors",
        "small: same top-1 as with InputSpec.fit",
        "small: right apps that fail one of 10 self-tests",
        "small: self-tests of 10 that catch BGR",
        "small: self-tests of 10 that catch another mean",
        "small: self-tests of 10 that catch stretched",
    ]
    assert [figure.name for figure in found[2:] if not figure.kept] == []  # one step is much to a network of noise


def test_torchvision_fits_as_we_do() -> None:
    spec = InputSpec(size=(16, 16), resize=20)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for torchvisions in (by_torchvision, by_torchvision_on_tensors):
        ours, theirs = spec.fit(image).astype(int), torchvisions(spec, image).astype(int)
        assert ours.shape == theirs.shape
        assert abs(ours - theirs).max() <= 1
