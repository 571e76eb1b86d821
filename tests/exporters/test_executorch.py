"""ExecuTorch files: everything runs in XNNPACK, with the integers of the int8 network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import family, plain_model

from pipeline.artifact import Artifact
from pipeline.errors import UnavailableError
from pipeline.exporters._xnnpack import signed, spell_out_gates
from pipeline.exporters.executorch import ExportExecuTorch, in_kernels_shapes
from pipeline.exporters.exporter import captured
from pipeline.measure.parity import check_parity, probe_parity
from pipeline.model import Model
from pipeline.quantizers.post_training import PostTraining
from pipeline.runtimes.executorch import ExecuTorch
from pipeline.stage import Context

pytest.importorskip("executorch", reason="needs edgewright[executorch]")


@pytest.fixture(scope="module")
def plain(context: Context) -> Model:
    return plain_model(context.data)


@pytest.fixture(scope="module")
def artifact(plain: Model, context: Context, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("pte")
    ExportExecuTorch()(plain, context).save(folder)
    return Artifact.load(folder)


def test_signed_integers_stand_for_the_same_numbers(int8: Model, context: Context) -> None:
    """All but the last layer's input, which gets its image's own range."""
    x_NCHW = torch.from_numpy(context.data.validation.x_NCHW(0, 8))
    with torch.no_grad():
        moved = torch.cat([signed(int8.module)(image) for image in x_NCHW.split(1)])
        wanted = int8.module(x_NCHW)
    targets = [str(node.target) for node in signed(int8.module).graph.nodes]  # type: ignore[union-attr]
    assert targets.count("quantized_decomposed.choose_qparams.tensor") == 1
    assert (moved - wanted).abs().max() < 0.02 * wanted.abs().max()
    kinds = {
        node.args[-1]
        for node in signed(int8.module).graph.nodes  # type: ignore[union-attr]
        if "quantize_per_tensor" in str(node.target)
    }
    assert kinds == {torch.int8}


def test_a_gate_spelled_out_is_the_same_gate(trained: Model, context: Context) -> None:
    x_NCHW = torch.from_numpy(context.data.validation.x_NCHW(0, 1))
    graph = captured(trained, 1).module(check_guards=False)
    with torch.no_grad():
        wanted = graph(x_NCHW)
        found = spell_out_gates(graph)(x_NCHW)
    assert "aten.hardsigmoid.default" not in [str(node.target) for node in graph.graph.nodes]
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("precision", ["float", "int8", "dynamic"])
def test_xnnpack_takes_all_of_it(precision: str, request: pytest.FixtureRequest) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    model: Model = request.getfixturevalue("trained" if precision == "float" else precision)
    lowered = to_edge_transform_and_lower(in_kernels_shapes(model, 1), partitioner=[XnnpackPartitioner()])
    graph = lowered.exported_program().graph_module.graph
    called = [node.name for node in graph.nodes if node.op == "call_function" and "getitem" not in node.name]
    assert called == ["executorch_call_delegate"]


@pytest.mark.parametrize("name", ["mobilenet_v2_tensorflow", "shufflenet_v2", "resnet18"])
def test_families_of_other_operators_keep_their_int8_answers(
    name: str, trained: Model, context: Context, tmp_path: Path
) -> None:
    model = PostTraining()(family(name, trained), context)
    ExportExecuTorch()(model, context).save(tmp_path)
    made = Artifact.load(tmp_path)
    check_parity(probe_parity(made, ExecuTorch().open(made, 1)), True, "executorch")


def test_sessions_of_other_threads_do_not_disturb_each_other(artifact: Artifact) -> None:
    """The process has one pool of threads, which opened programs hold on to."""
    probe = artifact.probe()
    x_NCHW = artifact.manifest.input.normalize(probe.fitted_NHWC)[:1]
    sessions = [ExecuTorch().open(artifact, threads) for threads in (1, 2, 1)]
    for session in sessions + sessions[::-1]:
        np.testing.assert_allclose(session(x_NCHW), probe.logits_NK[:1], rtol=1e-3, atol=1e-4)
    ExecuTorch().open(artifact, 1)


def test_opening_says_nothing(artifact: Artifact, capfd: pytest.CaptureFixture[str]) -> None:
    for threads in (2, 1):
        ExecuTorch().open(artifact, threads)
    assert capfd.readouterr() == ("", "")


def test_a_file_says_what_it_takes(artifact: Artifact, plain: Model, tmp_path: Path) -> None:
    told = ExecuTorch().ports(artifact.path)
    assert [(port.shape, port.dtype) for port in told.inputs] == [((1, *plain.spec.shape), "float32")]
    assert [port.shape for port in told.outputs] == [(1, len(plain.classes))]
    broken = tmp_path / "broken.pte"
    broken.write_bytes(artifact.path.read_bytes()[:100])
    with pytest.raises(UnavailableError, match=r"broken\.pte"):
        ExecuTorch().ports(broken)
