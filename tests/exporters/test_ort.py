"""ONNX Runtime's own format: what stands beside it, and that it opens like any other file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny import plain_model

from pipeline.artifact import Artifact
from pipeline.aside import Aside
from pipeline.errors import UsageError
from pipeline.exporters.onnx import ExportOnnx
from pipeline.exporters.ort import OPERATORS, VERDICT, ExportOrt
from pipeline.measure.parity import check_parity, probe_parity
from pipeline.model import Model
from pipeline.quantizers.post_training import PostTraining
from pipeline.runtimes.eager import Eager
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stage import Context
from pipeline.stranger import looked_at
from pipeline.study import read_study

LINE = re.compile(r"[a-z.]+;\d+;[A-Z].*")


@pytest.fixture(scope="module")
def plain(context: Context) -> Model:
    return plain_model(context.data)


@pytest.fixture(scope="module")
def plain_int8(plain: Model, context: Context) -> Model:
    return PostTraining()(plain, context)


def exported(stage: ExportOrt, model: Model, context: Context, folder: Path) -> Artifact:
    stage(model, context).save(folder)
    return Artifact.load(folder)


def test_the_operators_of_a_reduced_build_stand_beside_it(
    plain: Model, plain_int8: Model, context: Context, tmp_path: Path
) -> None:
    texts = {}
    for name, model in {"float": plain, "int8": plain_int8}.items():
        (tmp_path / name).mkdir()
        artifact = exported(ExportOrt(), model, context, tmp_path / name)
        assert artifact.manifest.parts == ()
        texts[name] = (artifact.folder / OPERATORS).read_text()
    comments, lines = (
        [line for line in texts["int8"].splitlines() if line.startswith("#") == no] for no in (True, False)
    )
    assert len(comments) == 2
    assert lines
    assert all(LINE.fullmatch(line) for line in lines)
    assert "QLinearConv" in texts["int8"]
    assert "FusedConv" in texts["float"]
    assert "QLinearConv" not in texts["float"]


def test_the_verdict_is_onnx_runtimes_own(plain: Model, context: Context, tmp_path: Path) -> None:
    artifact = exported(ExportOrt(), plain, context, tmp_path)
    first, *rest = (artifact.folder / VERDICT).read_text().splitlines()
    assert first.endswith(("compare with NNAPI on Android and Core ML on iOS.", "use the CPU execution provider."))
    assert [line for line in rest if line.startswith("Model should perform well with NNAPI as is: ")]
    assert str(tmp_path) not in "".join(rest)


def test_nobody_elses_log_hears_of_it(
    plain: Model, context: Context, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level("WARNING"):
        ExportOrt()(plain, context)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("precision", ["float", "int8"])
def test_it_takes_pixels_as_its_onnx_file_would(
    precision: str, plain: Model, plain_int8: Model, context: Context, tmp_path: Path
) -> None:
    model = plain if precision == "float" else plain_int8
    artifact = exported(ExportOrt(pixels=True), model, context, tmp_path)
    assert artifact.manifest.input == ExportOnnx(pixels=True).input_of(model.spec)
    check_parity(probe_parity(artifact, OnnxRuntime().open(artifact, 1)), model.integer, "onnxruntime")


def test_a_loose_file_says_what_it_takes(plain: Model, context: Context, tmp_path: Path) -> None:
    artifact = exported(ExportOrt(), plain, context, tmp_path)
    loose = artifact.path.rename(tmp_path / "elsewhere.ort")
    (tmp_path / "manifest.json").unlink()
    with Aside() as aside:
        found = looked_at(loose, aside)
    assert (found.artifact.manifest.format, found.shape, found.artifact.manifest.batch) == ("ort", plain.spec.shape, 1)


def test_onnx_runtime_is_a_studys_runtime_for_both_formats() -> None:
    study = {
        "name": "both",
        "data": "digits",
        "recipes": {"small": ["LeNet"]},
        "reference": "small",
        "exports": ["ExportOnnx", "ExportOrt"],
        "runtimes": ["onnxruntime"],
    }
    assert [stage.kind for stage in read_study(study).exports] == ["ExportOnnx", "ExportOrt"]
    assert read_study({**study, "exports": ["ExportOrt"]}).runtimes == (OnnxRuntime(),)
    with pytest.raises(UsageError, match="eager runs pt2, which nothing exports"):
        read_study({**study, "runtimes": ["onnxruntime", Eager().kind]})
