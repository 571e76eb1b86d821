"""The same int8 file on several processors: what is compared, and what is promised of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.portability import compare as comparing
from benchmarks.portability.cases import PLAIN, PORTABLE, Case
from benchmarks.portability.compare import compare
from benchmarks.portability.figures import figures_of
from benchmarks.portability.processors import EXACT, PROCESSORS, Processor
from benchmarks.portability.record import Record, Row, markdown
from pipeline.exporters.onnx import ExportOnnx
from pipeline.model import Model
from pipeline.results import Parity
from pipeline.stage import Context

HERE, HASWELL = PROCESSORS[0], PROCESSORS[1]
NOWHERE = Processor("a processor that nobody knows", "pdp11", "11")


@pytest.fixture(scope="module")
def case(int8: Model, context: Context, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("portability")
    ExportOnnx().write(int8, folder / "int8.onnx")
    np.save(folder / "images.npy", context.data.validation.x_NCHW(0, 3))
    np.save(folder / "labels.npy", context.data.validation.labels_N)
    return Case("tiny", PORTABLE, folder / "int8.onnx", folder / "images.npy", folder / "labels.npy")


def test_this_machine_answers_like_itself(case: Case) -> None:
    [row] = compare(case, [HERE._replace(settings=(EXACT,))])
    assert row.parity is not None
    assert (row.parity.images, row.parity.max_difference, row.failure) == (3, 0.0, "")
    assert row.top1 is not None
    assert row.onnxruntime


def test_other_answers_are_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, exact = comparing.ask, HERE._replace(settings=(EXACT,))  # so that it saturates on no processor

    def biased(processor: Processor, *given: object, **named: object) -> object:
        found = asked(processor, *given, **named)
        return found._replace(logits_NK=found.logits_NK + (processor is exact))

    monkeypatch.setattr(comparing, "ask", biased)
    [row] = compare(case, [exact])
    assert row.parity is not None
    assert row.parity.max_difference == pytest.approx(1)


def test_who_cannot_be_asked_is_a_row_with_the_reason(case: Case, tmp_path: Path) -> None:
    [row] = compare(case, [NOWHERE])
    assert "qemu-pdp11" in row.failure
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(comparing.EdgewrightError, match="exit status"):
        compare(case._replace(path=broken), [HERE])


def rows(portable: float, plain: float) -> list[Row]:
    def parity(difference: float) -> Parity:
        return Parity(images=9, agreement=1.0, max_difference=difference, scale=1.0, sqnr_db=40.0)

    made = [("net", PORTABLE, parity(portable)), ("net", PLAIN, parity(plain))]
    return [Row(network=net, file=file, processor=HASWELL.name, parity=found) for net, file, found in made]


@pytest.mark.parametrize(("portable", "plain", "kept"), [(0.0, 0.3, True), (0.1, 0.3, False), (0.0, 0.0, False)])
def test_portable_files_must_not_move_and_plain_ones_must(portable: float, plain: float, kept: bool) -> None:
    figures = list(figures_of(rows(portable, plain)))
    assert len(figures) == 2
    assert all(figure.kept for figure in figures) is kept


def test_a_processor_that_did_not_answer_keeps_nothing() -> None:
    [figure] = figures_of([Row(network="net", file=PORTABLE, processor=HASWELL.name, failure="it died")])
    assert math.isinf(figure.value)
    assert not figure.kept


def test_the_table_tells_all() -> None:
    lost = Row(network="net", file=PLAIN, processor="other", failure="it | died")
    machine = {"cpu": "x"}
    record = Record(command="c", created="now", machine=machine, versions={}, rows=(*rows(0.0, 0.3), lost))
    text = markdown(record)
    assert "equal" in text
    assert "0.3" in text
    assert r"it \| died" in text
