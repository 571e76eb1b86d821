"""LiteRT files, where the environment that converts them was made before: it holds gigabytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import family, plain_model

from pipeline.artifact import Artifact
from pipeline.errors import UnavailableError, Unfit
from pipeline.exporters._litert_integers import recognizable
from pipeline.exporters.lite_rt import ExportLiteRt
from pipeline.measure.parity import check_parity, probe_parity
from pipeline.model import Model
from pipeline.runtimes.lite_rt import LiteRt
from pipeline.stage import Context

pytest.importorskip("ai_edge_litert", reason="needs edgewright[litert]")
ENVIRONMENT = ExportLiteRt.environment
assert ENVIRONMENT is not None
made = pytest.mark.skipif(not ENVIRONMENT.made, reason="ExportLiteRt was never used on this machine")


@pytest.fixture(scope="module")
def artifact(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("tflite")
    ExportLiteRt()(plain_model(context.data), context).save(folder)
    return Artifact.load(folder)


@made
def test_it_says_what_it_takes_as_others_do(artifact: Artifact) -> None:
    told = LiteRt().ports(artifact.path)
    shape = (1, *artifact.manifest.input.shape)
    assert [(port.shape, port.dtype) for port in told.inputs] == [(shape, "float32")]
    assert [(port.shape, port.dtype) for port in told.outputs] == [((1, len(artifact.manifest.classes)), "float32")]


@made
def test_the_manifest_names_the_converter(artifact: Artifact) -> None:
    assert artifact.manifest.tools["litert-torch"] == ENVIRONMENT.versions["litert-torch"]


@made
@pytest.mark.parametrize("name", ["mobilenet_v2_tensorflow", "shufflenet_v2", "resnet18"])
def test_families_of_other_operators_answer_as_in_pytorch(
    name: str, trained: Model, context: Context, tmp_path: Path
) -> None:
    ExportLiteRt()(family(name, trained), context).save(tmp_path)
    found = Artifact.load(tmp_path)
    check_parity(probe_parity(found, LiteRt().open(found, 1)), False, "litert")


@made
def test_int8_runs_on_integers(int8: Model, full_context: Context, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    ExportLiteRt()(int8, full_context).save(tmp_path)
    found = Artifact.load(tmp_path)
    parity = probe_parity(found, LiteRt().open(found, 1))
    check_parity(parity, True, "litert")
    assert parity.sqnr_db > 40
    interpreter = Interpreter(model_path=str(found.path))
    kinds = {told["index"]: told["dtype"] for told in interpreter.get_tensor_details()}
    convolutions = [one for one in interpreter._get_ops_details() if "CONV_2D" in one["op_name"]]
    assert len(convolutions) > 30
    assert {kinds[one["outputs"][0]] for one in convolutions} == {np.int8}


def test_weights_spelled_out_are_the_same_weights(int8: Model, context: Context) -> None:
    x_NCHW = torch.from_numpy(context.data.validation.x_NCHW(0, 4))
    with torch.no_grad():
        torch.testing.assert_close(recognizable(int8.module)(x_NCHW), int8.module(x_NCHW))


def test_dynamic_int8_is_refused_before_anything_is_installed(dynamic: Model, context: Context) -> None:
    with pytest.raises(Unfit, match="fixed ranges only"):
        ExportLiteRt()(dynamic, context)


def test_what_is_no_network_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"not a network" * 40)
    with pytest.raises(UnavailableError, match=r"broken\.tflite"):
        LiteRt().ports(path)
