"""Every operator's result can be looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir
import onnxruntime
from onnx import helper
from rewriting_kit import built, node, residual

from pipeline.rewrites.exposed import exposed, write_exposed


def test_every_operator_but_the_rounding_is_shown() -> None:
    model = onnx_ir.from_proto(residual())
    names = exposed(model)
    work = [node for node in model.graph if "Linear" not in node.op_type]
    assert names == {str(node.outputs[0].name): node.name for node in work}
    assert [value.name for value in model.graph.outputs] == ["y", *(name for name in names if name != "y")]


def test_a_file_gives_all_of_them(tmp_path: Path) -> None:
    before, after = tmp_path / "before.onnx", tmp_path / "after.onnx"
    model = residual()
    del model.graph.value_info[:]
    onnx.save(model, before)
    names = write_exposed(before, after)
    session = onnxruntime.InferenceSession(after, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(size=(1, 8, 6, 5)).astype(np.float32)
    found = dict(zip([value.name for value in session.get_outputs()], session.run(None, {"x": x}), strict=True))
    assert set(names) == set(found)
    assert found["wide"].shape == (1, 24, 6, 5)
    assert names["wide"] == "node_wide"


def test_of_several_results_the_first_is_shown() -> None:
    split = helper.make_node("Split", ["x"], ["left", "right"], name="split", axis=1, num_outputs=2)
    model = built([split, node("Add", "left right", "y")], {}, [1, 8, 6, 5])
    assert exposed(onnx_ir.from_proto(model)) == {"left": "split", "y": "node_y"}
