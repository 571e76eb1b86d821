"""The processor is asked, and so are the kernels."""

from __future__ import annotations

import platform

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from pipeline.processor import saturates
from pipeline.runtimes.onnx_runtime import EXACT


def largest_product(settings: tuple[tuple[str, str], ...]) -> int:
    """255 times 127, eight of them, as ONNX Runtime's kernel adds them."""
    weight = numpy_helper.from_array(np.full((8, 16), 127, np.int8), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [1, 16])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    for setting in settings:
        options.add_session_config_entry(*setting)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    [y_1K] = session.run(None, {"x": np.full((1, 8), 255, np.uint8)})
    return int(y_1K.max())


def test_saturates_where_the_kernels_do() -> None:
    exact = largest_product(()) == 8 * 255 * 127
    # AVX-VNNI, which PyTorch does not ask for, makes ONNX Runtime's kernels exact as well.
    assert exact or saturates()


def test_exact_kernels_do_not_saturate() -> None:
    assert largest_product((EXACT,)) == 8 * 255 * 127


@pytest.mark.parametrize(
    ("machine", "vnni", "expected"), [("x86_64", False, True), ("AMD64", True, False), ("arm64", False, False)]
)
def test_only_x86_without_vnni_saturates(
    machine: str, vnni: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: vnni)
    assert saturates() == expected
