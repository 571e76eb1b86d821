"""One real bundle, made once: a small network trained on real digits, through the real exporter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from bundle_kit import Made, shipped

from pipeline.artifact import Artifact
from pipeline.bundle.write import write_bundle
from pipeline.dataset import DataSet
from pipeline.exporters.onnx import ExportOnnx
from pipeline.model import Model
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stage import Context


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, digits: DataSet, context: Context, trained: Model) -> Made:
    root = tmp_path_factory.mktemp("bundle")
    (root / "artifact").mkdir()
    ExportOnnx()(trained, context).save(root / "artifact")
    artifact = Artifact.load(root / "artifact")
    session = OnnxRuntime().open(artifact, threads=1)
    write_bundle(root / "bundle", artifact, digits.raw_test, session, shipped())
    return Made(root / "bundle", artifact, digits, session)


@pytest.fixture
def bundle(made: Made, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(made.folder, tmp_path / "bundle"))
