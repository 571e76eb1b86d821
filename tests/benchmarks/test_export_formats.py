"""The table of formats: every runtime of a format is asked, in float and int8, and held to what is promised."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import export_formats
from benchmarks.export_formats import Subject, exporters, figure, figures
from pipeline.data.digits import Digits
from pipeline.model import Model


def test_a_network_in_onnx(trained: Model) -> None:
    subject = Subject("tiny", trained, Digits(size=trained.spec.size[0]).load())
    found = list(figures(subject, exporters(["onnx"]), 32))
    names = [one.name.partition(":")[0] for one in found]
    assert {"tiny, float, onnx on onnxruntime", "tiny, int8, onnx on onnxruntime"} <= set(names)
    assert all(
        one.bound == export_formats.PROMISED[name.split(", ")[1]] for one, name in zip(found, names, strict=True)
    )
    assert all(one.value >= 90 for one, name in zip(found, names, strict=True) if "onnxruntime" in name)


def test_formats_are_those_asked_for() -> None:
    assert set(exporters(["onnx", "pt2"])) == {"onnx", "pt2"}
    assert {"onnx", "ort", "pt2", "torchscript"} <= set(exporters([]))


def test_a_figure_tells_how_many_answers_are_the_same() -> None:
    wanted_NK = np.eye(4, dtype=np.float32)
    found_NK = wanted_NK.copy()
    found_NK[3] = found_NK[0]
    kept = figure("a", wanted_NK, found_NK, 99.0)
    assert kept.value == pytest.approx(75)
    assert not kept.kept
