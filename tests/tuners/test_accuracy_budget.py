from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from foretold import ForetoldGauge, Told, exactly
from tiny import plain_model

from pipeline.errors import StageFailed, Terminated
from pipeline.model import Model
from pipeline.stage import MODEL, Context, Stage, check_chain
from pipeline.tuners import _workbench, accuracy_budget
from pipeline.tuners._combination import Combination, Tried
from pipeline.tuners.accuracy_budget import AccuracyBudget

MS = {False: 4.0, True: 2.0}  # of a float and an int8 network with all of its channels


class Gauge(ForetoldGauge):
    """Time follows the weights, and int8 takes half."""

    def ms_of(self, model: Model) -> float:
        return MS[model.integer] + sum(value.numel() for value in model.state.values()) / 1e6


@pytest.fixture(scope="module")
def plain(context: Context) -> Model:
    return plain_model(context.data)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy_budget, "Gauge", Gauge)


SMALL = AccuracyBudget(
    max_drop=1.0, trials=4, ratios=(0.0, 0.3), teachings=("teacher",), quantizations=("none", "after"),
    epochs=1, augment="none",
)  # fmt: skip


def test_the_fastest_within_the_budget_is_taken(plain: Model, context: Context, tmp_path: Path) -> None:
    told = Told()
    model = SMALL(plain, told.context(context, checkpoint=tmp_path))
    entries = told.facts["search"]["tried"]
    assert len(entries) == 4
    assert not [entry["failure"] for entry in entries if entry["failure"]]
    [chosen] = [entry for entry in entries if entry["chosen"]]
    fitting = [entry for entry in entries if entry["within"]]
    assert chosen["speed"]["value"] >= 0.97 * max(entry["speed"]["value"] for entry in fitting)
    assert model.integer == (chosen["combination"]["quantization"] == "after")
    assert told.warnings == []


def test_a_search_that_was_stopped_goes_on(
    plain: Model, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second run makes nothing that the first has made, and ends as one that nobody stopped."""
    made: list[str] = []

    def counted(self: Any, key: str, stage: Stage, before: Model) -> Model:
        if self.store.get(key) is None:
            made.append(stage.kind)
            if len(made) == 3:
                raise Terminated("stopped by SIGTERM")
        return original(self, key, stage, before)

    original = _workbench.Workbench._made
    monkeypatch.setattr(_workbench.Workbench, "_made", counted)
    told = Told()
    with pytest.raises(Terminated):
        SMALL(plain, told.context(context, checkpoint=tmp_path))
    assert told.facts == {}
    SMALL(plain, told.context(context, checkpoint=tmp_path))
    assert len(told.facts["search"]["tried"]) == 4
    assert sorted(made) == sorted(["Prune", "Distill", "PostTraining", "PostTraining", made[2]])  # once, but for one


def test_nothing_within_the_budget_changes_nothing(plain: Model, context: Context, tmp_path: Path) -> None:
    told = Told()
    one = SMALL.model_copy(update={"max_drop": 0.0, "ratios": (0.9,), "quantizations": ("none",)})
    assert one(plain, told.context(context, checkpoint=tmp_path)) is plain
    assert "none of them was shown to be faster: nothing was changed" in told.warnings[0]
    lossy = Tried(combination=Combination(ratio=0.5, teaching="labels", quantization="none"), loss=exactly(0.02))
    assert "0 of 1 combinations keep the limit of 0 points; the least loss was 2.0 points" in one._in_vain([lossy])


def test_a_combination_that_fails_does_not_end_the_search(
    plain: Model, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Any, value: Model, context: Context) -> Model:
        raise StageFailed("pruning removed nothing")

    monkeypatch.setattr(accuracy_budget.Prune, "__call__", fails)
    told = Told()
    assert SMALL(plain, told.context(context, checkpoint=tmp_path)).integer
    failures = [entry["failure"] for entry in told.facts["search"]["tried"]]
    assert sorted(failures) == ["", "", "pruning removed nothing", "pruning removed nothing"]
    with pytest.raises(StageFailed, match="none of 1 combinations could be measured: pruning removed nothing"):
        SMALL.model_copy(update={"ratios": (0.5,), "quantizations": ("none",)})(
            plain, told.context(context, checkpoint=tmp_path / "other")
        )


def test_runs_share_a_folder(plain: Model, context: Context, tmp_path: Path) -> None:
    """Another run of the same step finds all done and chosen."""
    shared = SMALL.model_copy(update={"folder": str(tmp_path / "shared"), "trials": 2, "ratios": (0.0,)})
    first, second = Told(), Told()
    shared(plain, first.context(context, checkpoint=tmp_path / "one" / "key"))
    shared(plain, second.context(context, checkpoint=tmp_path / "two" / "key"))
    assert first.facts == second.facts
    assert (tmp_path / "shared" / "key" / "choice.json").is_file()


def test_what_it_gives_can_only_be_exported() -> None:
    assert AccuracyBudget.gives == MODEL
    from pipeline.errors import UsageError
    from pipeline.exporters.onnx import ExportOnnx
    from pipeline.models.lenet import LeNet
    from pipeline.trainers.supervised import Train

    assert check_chain([LeNet(), AccuracyBudget(), ExportOnnx()], "here") == "artifact"
    with pytest.raises(UsageError, match="Train takes float model, but AccuracyBudget gives model"):
        check_chain([LeNet(), AccuracyBudget(), Train()], "here")


def test_a_way_that_a_network_has_not_is_told_and_no_more(plain: Model, context: Context) -> None:
    """It has no blocks."""
    told, budget = Told(), SMALL.model_copy(update={"teachings": ("blocks",), "trials": 2, "quantizations": ("none",)})
    assert budget(plain, told.context(context)) is plain
    failures = [entry["failure"] for entry in told.facts["search"]["tried"] if entry["combination"]["ratio"]]
    assert len(failures) == 1
    assert "no block of the student" in failures[0]


def test_a_combination_is_a_chain_of_stages() -> None:
    whole = Combination(ratio=0.3, teaching="teacher", quantization="aware")
    kinds = [stage.kind for stage in AccuracyBudget().stages(whole)]
    assert kinds == ["Prune", "Distill", "QuantizationAware"]
    cut, lesson = AccuracyBudget().stages(Combination(ratio=0.3, teaching="blocks", quantization="none"))
    assert not cut.residuals
    assert (lesson.hint_at, lesson.epochs) == ("blocks", AccuracyBudget().epochs)
    plain = Combination(ratio=0, teaching="labels", quantization="none")
    assert list(AccuracyBudget().stages(plain)) == []


@pytest.mark.parametrize("fields", [{"ratios": ()}, {"ratios": (0.1, 0.1)}, {"ratios": (1.0,)}, {"trials": 0}])
def test_what_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least one|less than 1|greater than 0"):
        AccuracyBudget(**fields)
