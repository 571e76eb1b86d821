"""Where steps are done: kept once done, explained when they fail, checked before they count."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from faults import flip_bit
from rich.console import Console
from tiny import family

from pipeline.dataset import DataSet
from pipeline.errors import (
    CorruptFile,
    DataError,
    EdgewrightError,
    NotANumber,
    ParityMiss,
    ResourceError,
    StageFailed,
    UnavailableError,
    UsageError,
)
from pipeline.execute import Workshop, explained, usable_device
from pipeline.model import Model
from pipeline.plan import Step
from pipeline.signals import StopSignal
from pipeline.stage import Context, Stage
from pipeline.store import Store


@dataclass(frozen=True)
class Note:
    """A value that writes one file."""

    text: str

    def save(self, folder: Path) -> None:
        (folder / "note.txt").write_text(self.text)


class Given(Stage):
    """Gives the model it was told to, and remembers what it was called with."""

    takes: ClassVar[tuple[str, ...]] = ("nothing", "float model")
    models: ClassVar[dict[str, Any]] = {}
    calls: ClassVar[list[tuple[Any, Context]]] = []
    name: str = "a"

    def __call__(self, value: Any, context: Context) -> Any:
        self.calls.append((value, context))
        context.note("calls", [len(self.calls)])
        return self.models[self.name]


@pytest.fixture
def shop(digits: DataSet, tmp_path: Path) -> Workshop:
    store = Store(tmp_path / "store")
    store.open()
    console = Console(file=io.StringIO(), width=200)
    Given.calls.clear()
    return Workshop(digits, store, console, StopSignal(), seed=3, device="cpu", threads=1, total=12)


def said(shop: Workshop) -> str:
    return shop.console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def make(text: str = "x", facts: Mapping[str, Any] | None = None) -> Callable[[], Any]:
    return lambda: (Note(text), facts or {})


def never() -> Any:
    raise AssertionError("made again")


def step(key: str, before: str = "", **teachers: str) -> Step:
    return Step("recipe", Given(), key, before, teachers, ({"Given": {}},))


def test_what_was_made_once_is_found(shop: Workshop) -> None:
    first = shop.cached("k", "recipe · Stage", "recipe", make("x", {"validation_top1": 0.875}))
    assert (first.folder / "note.txt").read_text() == "x"
    second = shop.cached("k", "recipe · Stage", "recipe", never)
    assert (second.folder, second.facts) == (first.folder, {"validation_top1": 0.875})
    assert [(record.status, record.key, record.recipe) for record in shop.records] == [
        ("done", "k", "recipe"),
        ("cached", "k", "recipe"),
    ]
    lines = said(shop).splitlines()
    assert lines[0].startswith("[  1/12] recipe · Stage ")
    assert lines[0].endswith("done  validation top-1 87.5%")
    assert lines[1].startswith("[  2/12] ")
    assert " cached" in lines[1]


def test_the_time_it_took_is_kept(shop: Workshop) -> None:
    entry = shop.cached("k", "label", "", make())
    assert entry.seconds >= 0
    assert shop.cached("k", "label", "", never).seconds == entry.seconds


def test_a_damaged_checkpoint_is_told_and_the_stage_starts_over(shop: Workshop) -> None:
    checkpoint = shop.store.checkpoint("k")
    checkpoint.mkdir(parents=True)

    def resuming() -> Any:
        if checkpoint.exists():
            raise CorruptFile("training.safetensors is not the checkpoint that was written")
        return Note("from the start"), {}

    assert (shop.cached("k", "label", "", resuming).folder / "note.txt").read_text() == "from the start"
    assert "starts over" in said(shop)


def test_a_damaged_file_without_a_checkpoint_stops_the_run(shop: Workshop) -> None:
    def reading() -> Any:
        raise CorruptFile("model.onnx is damaged")

    with pytest.raises(CorruptFile, match=r"model\.onnx"):
        shop.cached("k", "label", "", reading)


def test_a_damaged_entry_is_told_and_made_again(shop: Workshop) -> None:
    entry = shop.cached("k", "label", "", make("x"))
    flip_bit(entry.folder / "note.txt", 1)
    assert (shop.cached("k", "label", "", make("y")).folder / "note.txt").read_text() == "y"
    assert "warning:" in said(shop)
    assert "note.txt" in said(shop)
    assert [record.status for record in shop.records] == ["done", "done"]


def test_a_failure_leaves_no_entry_and_no_record(shop: Workshop) -> None:
    with pytest.raises(StageFailed, match="recipe · Stage: AssertionError: made again"):
        shop.cached("k", "recipe · Stage", "recipe", never)
    assert shop.store.get("k") is None
    assert shop.records == []


def test_a_finished_step_forgets_its_checkpoint(shop: Workshop) -> None:
    folder = shop.store.checkpoint("k")
    folder.mkdir(parents=True)
    shop.cached("k", "label", "", make())
    assert not folder.exists()


FAILURES: list[tuple[Exception, type[EdgewrightError], str]] = [
    (ValueError("bad\nand more"), StageFailed, "label: ValueError: bad"),
    (ValueError(), StageFailed, "label: ValueError: no message"),
    (NotANumber("loss", "lower lr"), NotANumber, "label: loss"),
    (ParityMiss("moved"), ParityMiss, "label: moved"),
    (UsageError("as it is"), UsageError, "as it is"),
    (DataError("as it is"), DataError, "as it is"),
    (MemoryError(), ResourceError, "label: out of memory"),
    (RuntimeError("CUDA out of memory. Tried"), ResourceError, "label: out of memory"),
    (RuntimeError("DefaultCPUAllocator: not enough memory: you"), ResourceError, "label: out of memory"),
]


@pytest.mark.parametrize(("error", "kind", "cause"), FAILURES)
def test_failures_carry_the_name_of_their_step(error: Exception, kind: type[EdgewrightError], cause: str) -> None:
    with pytest.raises(EdgewrightError) as caught, explained("label"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.cause == cause
    assert len(caught.value.lines()) <= 6


def test_the_fix_survives_the_naming() -> None:
    with pytest.raises(NotANumber) as caught, explained("label"):
        raise NotANumber("loss", "lower lr")
    assert caught.value.fix == "lower lr"


def test_a_stage_gets_its_input_its_teacher_and_no_test_split(shop: Workshop, untrained: Model) -> None:
    other = family("mobilenet_v3_small", untrained, seed=1)
    Given.models.update(a=untrained)
    shop.do(step("one"), 0)
    Given.models.update(a=other)
    entry = shop.do(step("two", before="one", wise="one"), 1)
    (nothing, first), (value, second) = Given.calls
    assert nothing is None
    assert torch.equal(value.state["classifier.3.weight"], untrained.state["classifier.3.weight"])
    assert (first.seed, first.device, first.data) == (3, "cpu", shop.data.splits)
    assert second.checkpoint == shop.store.checkpoint("two")
    assert second.teacher is not None
    assert second.teacher("wise") is shop.model("one")
    assert entry.facts["validation_top1"] == pytest.approx(_validation_top1(other, shop.data))


def test_what_a_stage_notes_is_kept_with_its_record(shop: Workshop, untrained: Model) -> None:
    Given.models.update(a=untrained)
    made = shop.do(step("one"), 0)
    kept = shop.do(step("one"), 0)
    assert made.facts["calls"] == kept.facts["calls"] == [1]
    assert [record.facts["calls"] for record in shop.records] == [[1], [1]]


def _validation_top1(model: Model, data: DataSet) -> float:
    validation = data.splits.validation
    return float((model.logits_NK(validation.x_NCHW()).argmax(1) == validation.labels_N).mean())


def test_a_model_comes_back_from_the_store(shop: Workshop, untrained: Model) -> None:
    Given.models.update(a=untrained)
    shop.do(step("one"), 0)
    shop.models.clear()
    assert torch.equal(shop.model("one").state["classifier.3.weight"], untrained.state["classifier.3.weight"])


def test_a_model_that_does_not_survive_saving_stops_the_recipe(shop: Workshop, untrained: Model) -> None:
    state = {name: tensor * 1.5 for name, tensor in untrained.state.items()}
    Given.models.update(a=replace(untrained, state=state))
    with pytest.raises(ParityMiss, match="recipe · Given: saving and loading changed the answers"):
        shop.do(step("one"), 0)
    assert shop.store.get("one") is None


def test_a_model_that_answers_nan_stops_the_recipe(shop: Workshop, untrained: Model) -> None:
    Given.models.update(a=_poisoned(untrained))
    with pytest.raises(ParityMiss, match="recipe · Given: some answers are NaN or infinite"):
        shop.do(step("one"), 0)


def _poisoned(model: Model) -> Model:
    state = {**model.state, "classifier.3.bias": torch.full_like(model.state["classifier.3.bias"], float("nan"))}
    return replace(model, module=model.blueprint.build(state), state=state)


def test_devices() -> None:
    assert usable_device("cpu") == "cpu"
    assert usable_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(UnavailableError, match="device 'cuda:99' cannot be used") as caught:
        usable_device("cuda:99")
    assert "--device cpu" in caught.value.fix
