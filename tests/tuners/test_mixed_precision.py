"""Int8 within an accuracy budget: exactly what int8 ruins stays float, and nothing without need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from foretold import Told
from planted import VALUES, WEIGHTS, healthy, labelled, ruined_values, ruined_weights
from tiny import fingerprint

from pipeline.artifact import Artifact
from pipeline.errors import DataError, GateFailed, UsageError
from pipeline.exporters.onnx import ExportOnnx
from pipeline.measure.parity import ask
from pipeline.model import Model
from pipeline.quantizers.post_training import PostTraining
from pipeline.quantizers.quantized import Quantized
from pipeline.results import Interval
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.stage import INT8, Context, read_stage
from pipeline.tuners.mixed_precision import MixedPrecision

STAGE = MixedPrecision(max_drop=0.15, images=8, scouts=2, candidates=2)


def tuned(make: Callable[[Context], Model], context: Context, stage: MixedPrecision = STAGE) -> tuple[Model, Told]:
    model, told = make(context), Told()
    return stage(model, told.context(labelled(model, context))), told


def floats(model: Model) -> tuple[str, ...]:
    assert isinstance(model.blueprint, Quantized)
    return model.blueprint.floats


@pytest.fixture(scope="module")
def mended(context: Context, foreseen_times: list[int]) -> tuple[Model, Told]:
    """What becomes of a network with one ruined layer."""
    return tuned(ruined_weights, context)


def test_the_planted_layer_alone_stays_float(mended: tuple[Model, Told]) -> None:
    model, told = mended
    assert floats(model) == (WEIGHTS,)
    assert model.integer
    [warning] = told.warnings
    assert warning.startswith(f"{WEIGHTS} stays float: int8 everywhere loses ")
    assert "15 are allowed" in warning
    assert warning.endswith("2.73× the speed of float instead of 3.00×")
    assert told.facts["float_layers"] == [WEIGHTS]
    assert told.facts["top1_lost"]["value"] <= 0.15 < told.facts["top1_lost_in_int8"]["value"]
    assert told.facts["steps"][0]["layers"] == (WEIGHTS,)


def test_the_same_measurements_give_the_same_model(mended: tuple[Model, Told], context: Context) -> None:
    float_model, told = ruined_weights(context), Told()
    before = fingerprint(float_model)
    again = STAGE(float_model, told.context(labelled(float_model, context)))
    assert fingerprint(again) == fingerprint(mended[0])
    assert told == mended[1]
    assert fingerprint(float_model) == before


def test_where_int8_holds_the_budget_nothing_stays_float(context: Context, foreseen_times: list[int]) -> None:
    foreseen_times.clear()
    model, told = tuned(healthy, context)
    plain = PostTraining(images=8)(healthy(context), context)
    assert floats(model) == ()
    assert fingerprint(model) == fingerprint(plain)
    assert foreseen_times == []
    assert told.warnings == []
    assert told.facts["float_layers"] == []


@pytest.mark.usefixtures("foreseen_times")
def test_layers_that_were_asked_for_stay(context: Context) -> None:
    model, _ = tuned(ruined_weights, context, STAGE.model_copy(update={"floats": ("linear",)}))
    assert floats(model) == (WEIGHTS, "linear")


@pytest.mark.usefixtures("foreseen_times")
def test_a_budget_that_cannot_be_held_fails_as_a_gate_does(context: Context) -> None:
    """One float layer is too few for what is planted."""
    with pytest.raises(
        GateFailed, match=r"int8 loses .*, with 1 of 7 layers float .* on 64 validation images; 15 are allowed"
    ) as e:
        tuned(ruined_values, context, STAGE.model_copy(update={"most": 1}))
    assert e.value.exit_code == 1
    assert len(e.value.lines()) <= 6
    assert "max_drop" in e.value.fix


@pytest.mark.usefixtures("foreseen_times")
def test_even_all_but_one_may_not_do(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MixedPrecision, "holds", lambda self, loss: False)
    with pytest.raises(GateFailed, match="with 6 of 7 layers float "):
        tuned(ruined_weights, context)


@pytest.mark.usefixtures("foreseen_times")
def test_a_planted_tensor_has_one_island_and_the_file_answers_as_the_model(context: Context, tmp_path: Path) -> None:
    model, told = tuned(ruined_values, context)
    assert floats(model) == VALUES
    assert told.warnings[0].startswith("conv2d_1, conv2d_2 stay float: ")
    same = PostTraining(images=8, floats=VALUES)(ruined_values(context), context)
    assert fingerprint(model) == fingerprint(same)
    ExportOnnx()(model, context).save(tmp_path)
    artifact = Artifact.load(tmp_path)
    parity, [logits_NK] = ask(OnnxRuntime(), artifact, 1, [context.data.validation])
    assert parity.agreement == 1
    wanted_N = ruined_values(context).logits_NK(context.data.validation.x_NCHW()).argmax(1)
    assert (logits_NK.argmax(1) == wanted_N).mean() >= 0.85
    OnnxRuntime().optimized(artifact, tmp_path / "optimized.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert kinds.count("QuantizeLinear") == 2  # of the image, and behind the island
    assert kinds.count("DequantizeLinear") == 1  # before it
    assert kinds.count("Conv") == 2


def test_sure_wants_images_enough(context: Context) -> None:
    stage = STAGE.model_copy(update={"sure": True, "max_drop": 0.02})
    with pytest.raises(DataError, match=r"64 validation images cannot show .* 2\.00% are lost; 150 could"):
        tuned(healthy, context, stage)


@pytest.mark.parametrize(("sure", "held"), [(False, True), (True, False)])
def test_sure_judges_by_the_far_end(sure: bool, held: bool) -> None:
    stage = MixedPrecision(max_drop=0.02, sure=sure)
    assert stage.holds(Interval(value=0.01, low=-0.01, high=0.03)) is held
    assert stage.holds(Interval(value=0.01, low=0.0, high=0.02))
    assert not stage.holds(Interval(value=0.03, low=0.01, high=0.05))


def test_without_validation_images(context: Context) -> None:
    none = replace(context.data, validation=context.data.validation.take(np.arange(0)))
    with pytest.raises(DataError, match="no validation images"):
        STAGE(healthy(context), replace(context, data=none))


@pytest.mark.parametrize(
    "fields",
    [
        {"max_drop": 2},
        {"max_drop": -0.1},
        {"candidates": 0},
        {"seconds": 0},
        {"runtime": "onyxruntime"},
        {"sure": True, "max_drop": 0},
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        read_stage({"MixedPrecision": fields}, "here")


def test_yaml() -> None:
    stage = MixedPrecision(max_drop=0.005, calibration="mse", threads=2)
    assert stage.written() == {"MixedPrecision": {"max_drop": 0.005, "calibration": "mse", "threads": 2}}
    assert read_stage(stage.written(), "here") == stage
    assert read_stage({"MixedPrecision": {"runtime": "onnxruntime"}}, "here") == MixedPrecision()
    assert stage.gives == INT8
