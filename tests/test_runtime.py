"""What a runtime refuses on this processor."""

from __future__ import annotations

import pytest

from pipeline import runtime
from pipeline.artifact import Manifest
from pipeline.runtime import saturating
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.runtimes.open_vino import OpenVino


@pytest.mark.parametrize(("integer", "portable"), [(False, False), (True, True), (True, False)])
def test_only_int8_that_saturates_is_refused(integer: bool, portable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage = ({"PostTraining": {"portable": portable}},)
    manifest = Manifest.model_construct(format="onnx", integer=integer, lineage=lineage)
    monkeypatch.setattr(runtime, "saturates", lambda: True)
    assert bool(saturating(manifest)) == (integer and not portable)
    assert OnnxRuntime().refusal(manifest) == ""
    assert OnnxRuntime().refusal(manifest.model_copy(update={"format": "ort"})) == saturating(manifest)
    assert OpenVino().refusal(manifest) == saturating(manifest)
    monkeypatch.setattr(runtime, "saturates", lambda: False)
    assert saturating(manifest) == ""
