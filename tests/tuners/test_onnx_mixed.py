"""Int8 of an ONNX file within an accuracy budget: other ranges first, then the nodes that int8 ruins stay float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from planted import healthy, labelled, ruined_weights

from pipeline.artifact import Artifact, Draft
from pipeline.errors import DataError, GateFailed
from pipeline.exporters.onnx import ExportOnnx
from pipeline.measure.parity import ask
from pipeline.model import Model
from pipeline.quantizers.onnx_int8 import OnnxInt8
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stage import Context
from pipeline.tuners.onnx_mixed import OnnxMixed

STAGE = OnnxMixed(max_drop=0.15, others=("min_max",), scouts=2)
Said = tuple[list[str], dict[str, Any]]


def given(make: Callable[[Context], Model], context: Context, folder: Path) -> tuple[Artifact, Context, Said]:
    """The float file of a network that is right about all images, and a context that listens."""
    model = make(context)
    context = labelled(model, context)
    ExportOnnx()(model, context).save(folder)
    warnings, notes = list[str](), dict[str, Any]()
    listening = replace(context, warn=warnings.append, note=notes.__setitem__)
    return Artifact.load(folder), listening, (warnings, notes)


def lost(draft: Draft, context: Context, folder: Path) -> float:
    folder.mkdir()
    draft.save(folder)
    _, [logits_NK] = ask(OnnxRuntime(), Artifact.load(folder), 1, [context.data.validation])
    return float((logits_NK.argmax(1) != context.data.validation.labels_N).mean())


def float_layers(content: bytes) -> list[str]:
    """Weighted nodes whose weight is stored as it was."""
    model = onnx.load_from_string(content)
    floats = {value.name for value in model.graph.initializer if value.data_type == onnx.TensorProto.FLOAT}
    return [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm") and node.input[1] in floats]


def test_a_healthy_file_is_int8_everywhere(context: Context, tmp_path: Path) -> None:
    value, context, (warnings, notes) = given(healthy, context, tmp_path)
    draft = STAGE.model_copy(update={"max_drop": 0.5})(value, context)
    assert draft.manifest.integer
    assert draft.manifest.macs == value.manifest.macs
    assert notes["float_layers"] == []
    assert notes["calibration"] == "moving_average"
    assert warnings == []
    assert np.array_equal(draft.probe.logits_NK, OnnxInt8()(value, context).probe.logits_NK)


def test_the_ruined_layer_stays_float_and_that_is_told(context: Context, tmp_path: Path) -> None:
    value, context, (warnings, notes) = given(ruined_weights, context, tmp_path)
    assert lost(OnnxInt8()(value, context), context, tmp_path / "plain") > STAGE.max_drop
    draft = STAGE(value, context)
    assert lost(draft, context, tmp_path / "mixed") <= STAGE.max_drop
    assert len(notes["float_layers"]) == 1
    assert len(float_layers(draft.content)) == 1
    assert "float" in warnings[0]
    assert "int8 loses" in warnings[0]


def test_where_nothing_holds_the_budget_it_fails_as_a_gate_does(context: Context, tmp_path: Path) -> None:
    value, context, _ = given(ruined_weights, context, tmp_path)
    stage = STAGE.model_copy(update={"max_drop": 0.0, "most": 1, "others": ()})
    with pytest.raises(GateFailed, match="the least of 2 tries; 0 are allowed") as caught:
        stage(value, context)
    assert len(caught.value.lines()) <= 6


def test_images_to_judge_by_are_needed(context: Context, tmp_path: Path) -> None:
    value, context, _ = given(healthy, context, tmp_path)
    none = context.data.validation.take(np.array([], np.int64))
    with pytest.raises(DataError, match="no validation images"):
        STAGE(value, replace(context, data=replace(context.data, validation=none)))


def test_a_way_is_tried_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        OnnxMixed(others=("mse", "mse"))
