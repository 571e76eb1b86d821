"""ncnn files: two that belong together, in float, of every kind of network."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import FAMILIES, family, plain_model

from pipeline.artifact import Artifact
from pipeline.errors import StageFailed, UnavailableError, Unfit
from pipeline.exporters import ncnn
from pipeline.exporters.ncnn import ExportNcnn
from pipeline.measure.parity import check_parity, probe_parity
from pipeline.model import Model
from pipeline.runtimes.ncnn import Ncnn
from pipeline.stage import Context

pytest.importorskip("ncnn", reason="needs edgewright[ncnn]")
pytest.importorskip("pnnx", reason="needs edgewright[ncnn]")


def exported(model: Model, context: Context, folder: Path) -> Artifact:
    ExportNcnn()(model, context).save(folder)
    return Artifact.load(folder)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_answers_as_in_pytorch(name: str, trained: Model, context: Context, tmp_path: Path) -> None:
    artifact = exported(family(name, trained), context, tmp_path)
    check_parity(probe_parity(artifact, Ncnn().open(artifact, 1)), False, "ncnn")


def test_graph_and_weights_are_the_model(context: Context, tmp_path: Path) -> None:
    artifact = exported(plain_model(context.data), context, tmp_path)
    assert [path.name for path in artifact.files] == ["model.param", "model.bin"]
    assert artifact.bytes > 4 * artifact.manifest.params  # float32: as pnnx is told
    assert artifact.path.read_text().splitlines()[0] == "7767517"  # what ncnn's text begins with


def test_weights_that_are_cut_short_are_named(context: Context, tmp_path: Path) -> None:
    artifact = exported(plain_model(context.data), context, tmp_path)
    weights = artifact.files[1]
    weights.write_bytes(weights.read_bytes()[:20])
    with pytest.raises(UnavailableError, match=r"model\.bin"):
        Ncnn().open(artifact, 1)


def test_another_graph_than_pnnxs_is_refused(context: Context, tmp_path: Path) -> None:
    artifact = exported(plain_model(context.data), context, tmp_path)
    artifact.path.write_text(artifact.path.read_text().replace("in0", "data"))
    with pytest.raises(UnavailableError, match="finds no in0 and out0"):
        Ncnn().open(artifact, 1)


def test_int8_is_refused(int8: Model, context: Context) -> None:
    with pytest.raises(Unfit, match="symmetric"):
        ExportNcnn()(int8, context)


def test_a_converter_that_fails_is_quoted(tmp_path: Path) -> None:
    source = tmp_path / "model.pt"
    source.write_bytes(b"no network")
    with pytest.raises(StageFailed, match="pnnx could not convert") as caught:
        ncnn.convert(source, (1, 8, 8), tmp_path / "out.param")
    assert len(caught.value.lines()) <= 6
