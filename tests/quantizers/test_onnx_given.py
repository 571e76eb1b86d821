"""ONNX files as stages: given ones as they are, and int8 of them, in a study like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny import plain_model
from tiny_run import again, done

from pipeline.artifact import Artifact
from pipeline.errors import UsageError
from pipeline.exporters.onnx import write_module
from pipeline.quantizers.onnx_given import PROBE_IMAGES, GivenOnnx
from pipeline.quantizers.onnx_int8 import OnnxInt8
from pipeline.stage import Context


@pytest.fixture(scope="module")
def file(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("given") / "net.onnx"
    write_module(plain_model(context.data).module.eval(), context.data.spec.shape, path)
    return path


def saved(draft: object, folder: Path) -> Artifact:
    folder.mkdir()
    draft.save(folder)  # type: ignore[attr-defined]
    return Artifact.load(folder)


def test_the_file_answers_as_it_did_and_int8_nearly_so(file: Path, context: Context, tmp_path: Path) -> None:
    given = GivenOnnx(file=str(file))(None, context)
    wanted_NK = plain_model(context.data).logits_NK(context.data.validation.x_NCHW(0, PROBE_IMAGES))
    assert np.abs(given.probe.logits_NK - wanted_NK).max() < 1e-4
    assert (given.manifest.integer, given.manifest.batch, given.manifest.format) == (False, 1, "onnx")
    assert given.manifest.params == sum(value.numel() for value in plain_model(context.data).module.parameters())
    int8 = OnnxInt8()(saved(given, tmp_path / "float"), context)
    assert int8.manifest.integer
    assert len(int8.content) < len(given.content)
    signal = (wanted_NK**2).sum() / ((int8.probe.logits_NK - wanted_NK) ** 2).sum()
    assert signal > 100


def test_a_node_can_stay_float(file: Path, context: Context, tmp_path: Path) -> None:
    value = saved(GivenOnnx(file=str(file))(None, context), tmp_path / "float")
    first = next(node.name for node in onnx.load(value.path).graph.node if node.op_type == "Conv")
    kept, all_int8 = (OnnxInt8(floats=floats)(value, context) for floats in ((first,), ()))
    kinds = [
        sum(
            value.data_type == onnx.TensorProto.INT8 for value in onnx.load_from_string(draft.content).graph.initializer
        )
        for draft in (kept, all_int8)
    ]
    assert kinds[0] < kinds[1]


def test_a_file_counts_by_its_content(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / file.name
    other.parent.mkdir()
    other.write_bytes(file.read_bytes())
    assert GivenOnnx(file=str(other)).describe() == GivenOnnx(file=str(file)).describe()
    model = onnx.load(file)
    model.producer_name = "another"
    onnx.save(model, other)
    assert GivenOnnx(file=str(other)).describe() != GivenOnnx(file=str(file)).describe()


def test_other_classes_than_the_datas_are_refused(file: Path, context: Context) -> None:
    splits = replace(context.data, classes=("a", "b"))
    with pytest.raises(UsageError, match="tells 10 classes apart, the data has 2"):
        GivenOnnx(file=str(file))(None, replace(context, data=splits))


def test_a_study_of_a_file_is_run_and_done_again_from_the_store(file: Path, tmp_path: Path) -> None:
    recipes = {
        "base": [{"GivenOnnx": {"file": str(file)}}],
        "int8": [{"after": "base"}, "OnnxInt8"],
        "best": [{"after": "base"}, {"OnnxMixed": {"max_drop": 1.0}}],
    }
    results, _ = again(tmp_path / "out", recipes=recipes)
    assert [variant.integer for variant in results.variants] == [False, True, True]
    assert [variant.parent for variant in results.variants] == ["", "base", "base"]
    repeated, _ = again(tmp_path / "out", recipes=recipes)
    assert done(repeated) == []
