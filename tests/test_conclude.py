"""What is concluded from measurements that are known: accuracy, differences, sweeps, the front."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from measured import DISTURBED, Case, answered, concluded, data, measured, study_of

from pipeline.conclude import _small, _warnings, conclude, predictions, reference_of
from pipeline.errors import StageFailed
from pipeline.results import Results, StageRecord
from pipeline.spec import Budget


def test_a_parent_on_another_runtime_is_no_parent(tmp_path: Path) -> None:
    cases = Case("base", ms=1), Case("child", ms=2, parent="base", format="pt2")
    child = concluded(tmp_path, *cases).variants[1]
    assert (child.parent, child.versus_parent, child.note) == ("base", None, "")


def test_the_reference_is_measured_on_the_first_runtime(tmp_path: Path) -> None:
    cases = Case("base", ms=4, format="onnx"), Case("base", ms=2, format="pt2")
    results = concluded(tmp_path, *cases)
    assert results.reference == 0
    assert [variant.latency.verdict for variant in results.variants] == ["reference", "faster"]
    assert results.variants[1].latency.ratio.value == pytest.approx(2, abs=0.1)


def test_every_number_of_a_variant(tmp_path: Path) -> None:
    cases = (
        Case("base", 190, 190, ms=4, size=4000),
        Case("int8", 188, 180, ms=2, size=1000, parent="base", integer=True),
    )
    results = concluded(tmp_path, *cases, max_drop=0.02)
    int8 = results.variants[1]
    assert (int8.recipe, int8.format, int8.runtime, int8.integer) == ("int8", "onnx", "onnxruntime", True)
    assert (int8.folder, int8.file_bytes, int8.params, int8.macs) == ("models/int8/onnx", 1000, 12, 34)
    assert (int8.correct, int8.images, int8.top1.value, int8.validation_top1) == (180, 200, 0.9, 0.94)
    assert (int8.versus_reference.only_reference, int8.versus_reference.only_variant) == (10, 0)
    assert int8.versus_reference.difference.value == pytest.approx(-0.05)
    assert int8.latency.p50_ms.value == pytest.approx(2, rel=0.02)
    assert results.variants[0].versus_reference.p_value == 1


def test_the_front_is_of_latency_and_test_accuracy(tmp_path: Path) -> None:
    cases = Case("base", test=190, ms=3), Case("quick", test=180, ms=1), Case("worse", test=170, ms=2)
    assert [variant.on_front for variant in concluded(tmp_path, *cases).variants] == [True, True, False]


def test_what_the_results_say_about_the_run(tmp_path: Path) -> None:
    results = concluded(tmp_path, Case("base"), max_drop=0.5)
    assert (results.study, results.data, results.data_digest, results.seed) == ("known", "numbers", data().digest, 0)
    assert (results.budget, results.benchmark["rounds"], results.classes) == (Budget(max_drop=0.5), 5, tuple("abcd"))
    assert results.splits == {name: len(part) for name, part in data().parts.items()}
    assert Results.model_validate_json(results.model_dump_json()) == results


def test_what_stages_had_to_do_otherwise_is_told() -> None:
    halved = StageRecord(label="a · Train", recipe="a", key="k", seconds=1, status="cached", facts={"warnings": ["w"]})
    quiet = halved.model_copy(update={"facts": {}})
    assert _warnings([quiet, halved]) == ["a · Train: w"]


def test_what_answers_are_worth(tmp_path: Path) -> None:
    cases = Case("base", 190, 190, ms=4), Case("int8", 188, 180, ms=2, size=900, parent="base")
    int8 = concluded(tmp_path, *cases).variants[1]
    assert int8.top5 is None  # of four classes
    assert int8.per_class == (0.9,) * 4  # the last five of each are wrong
    assert int8.agreement == 0.95
    assert int8.calibration_error == pytest.approx(0.9 - np.e / (np.e + 3), abs=1e-6)
    assert int8.limit is not None
    assert int8.limit.share == pytest.approx(0.1 / int8.latency.p50_ms.value, abs=1e-3)
    assert (int8.file_bytes, int8.compressed_bytes) == (900, 450)
    assert (int8.energy_mj, int8.footprint) == (None, None)


def test_predictions_are_in_the_order_of_the_results(tmp_path: Path) -> None:
    cases = Case("base", test=190, ms=4), Case("int8", test=180, ms=2, parent="base")
    ms_SRVC = np.broadcast_to(np.array([4.0, 2.0])[:, None], (4, 2, 2, 3))
    made = measured(tmp_path, ms_SRVC, *cases)
    said = predictions(made, 1)
    assert said.right_N(0).sum() == 190
    assert said.right_N(1).sum() == 180
    assert said.mistakes_M.tolist() == list(range(180, 200))
    assert said.mistakes_MHWC.shape == (20, 1, 1, 1)
    assert predictions(made, None).mistakes_M.tolist() == list(range(190, 200))  # the reference's
    np.testing.assert_allclose(said.confidence_VN, np.e / (np.e + 3), rtol=1e-6)


def test_no_mistakes(tmp_path: Path) -> None:
    said = predictions(measured(tmp_path, np.ones((4, 2, 1, 3)), Case("base", test=200)), 0)
    assert (said.mistakes_M.shape, said.mistakes_MHWC.shape[0]) == ((0,), 0)
    assert said.to_bytes()


@pytest.mark.parametrize(("edge", "small"), [(1, 1), (96, 96), (97, 49), (224, 75), (1000, 91)])
def test_mistakes_are_kept_small(edge: int, small: int) -> None:
    assert _small(np.zeros((2, edge, edge // 2 + 1, 3), np.uint8)).shape[1] == small


def test_the_reference_has_to_be_measured(tmp_path: Path) -> None:
    cases = Case("base"), Case("int8", parent="base")
    with pytest.raises(StageFailed, match="the reference, base, could not be measured on any runtime"):
        reference_of(study_of(cases, {}), [answered(cases[1], tmp_path)])


def test_an_unstable_machine_makes_no_verdicts(tmp_path: Path) -> None:
    ms_SRVC = np.broadcast_to(np.array([4.0, 2.0])[:, None], (6, 2, 2, 3))
    results = conclude(measured(tmp_path, ms_SRVC, Case("base"), Case("quick"), seen=DISTURBED), ())
    assert [variant.latency.verdict for variant in results.variants] == ["reference", "unstable"]
    assert results.conditions.unstable
    assert "(unstable)" in results.recommendation.sentence
