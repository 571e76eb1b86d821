"""What every exporter promises: a whole artifact that answers like the model it came from."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from faults import flip_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import fingerprint, hand_made
from torch import nn

from pipeline.artifact import MANIFEST, PROBE, Artifact, read_manifest
from pipeline.browser.web_runtime import fetched
from pipeline.errors import CorruptFile, UnavailableError, Unfit
from pipeline.exporters.exporter import Exporter
from pipeline.files import sha256_of
from pipeline.measure.parity import check_parity, compare_logits
from pipeline.measure.size import count_macs, count_params
from pipeline.model import Model
from pipeline.models.dense import Dense
from pipeline.plugin import discover
from pipeline.quantizers.dynamic import Dynamic
from pipeline.quantizers.post_training import PostTraining
from pipeline.stage import Context

KNOWN = {kind: plugin for kind, plugin in discover("stage").items() if issubclass(plugin, Exporter)}
# One that works in an environment of its own is tried where that was made before: it is of gigabytes.
EXPORTERS = {
    kind: plugin
    for kind, plugin in KNOWN.items()
    if not plugin.missing() and (plugin.environment is None or plugin.environment.made)
}
# Tests fetch nothing: the browser's runtime is tried where it was fetched before.
RUNTIMES = {
    kind: plugin
    for kind, plugin in discover("runtime").items()
    if not plugin.missing() and (kind != "web" or fetched())
}
INTEGERS = ("int8", "dynamic")
PRECISIONS = ("float", *INTEGERS)
Models = dict[str, Model]
ArtifactOf = Callable[[str, str], Artifact]
PAIRS = [(e, r) for e in EXPORTERS for r in RUNTIMES if RUNTIMES[r].opens(EXPORTERS[e].format)]

every_exporter = pytest.mark.parametrize("exporter", EXPORTERS)
every_precision = pytest.mark.parametrize("precision", PRECISIONS)
every_integer = pytest.mark.parametrize("precision", INTEGERS)
every_pair = pytest.mark.parametrize(("exporter", "runtime"), PAIRS)


@pytest.fixture(scope="module")
def models(trained: Model, int8: Model, dynamic: Model) -> Models:
    """Tiny trained networks by precision: one of convolutions in float and int8, and one of linear layers."""
    return {"float": trained, "int8": int8, "dynamic": dynamic}


@pytest.fixture(scope="module")
def artifact_of(models: Models, full_context: Context, tmp_path_factory: pytest.TempPathFactory) -> ArtifactOf:
    """The artifact of one of the models by exporter and precision; each is made once."""

    @cache
    def make(exporter: str, precision: str) -> Artifact:
        if reason := EXPORTERS[exporter]().refusal(models[precision]):
            pytest.skip(reason)
        folder = tmp_path_factory.mktemp(f"{exporter}-{precision}")
        EXPORTERS[exporter]()(models[precision], full_context).save(folder)
        return Artifact.load(folder)

    return make


def answers(runtime: str, artifact: Artifact) -> tuple[np.ndarray, np.ndarray]:
    """What the artifact's probe expects, and what a runtime says, one image a call."""
    if reason := RUNTIMES[runtime]().refusal(artifact.manifest):
        pytest.skip(reason)
    probe = artifact.probe()
    session = RUNTIMES[runtime]().open(artifact, threads=1)
    x_NCHW = artifact.manifest.input.normalize(probe.fitted_NHWC)
    return probe.logits_NK, np.concatenate([session(x_NCHW[i : i + 1]) for i in range(len(x_NCHW))])


def test_every_exporter_has_a_runtime() -> None:
    runtimes = discover("runtime").values()
    able = {kind: [one for one in runtimes if one.opens(exporter.format)] for kind, exporter in KNOWN.items()}
    assert all(able.values())
    here = {kind for kind in EXPORTERS if any(runtime.at_home() for runtime in able[kind])}
    assert {exporter for exporter, _ in PAIRS} == here


@every_exporter
@every_integer
def test_what_a_format_cannot_hold_is_refused_with_the_reason(
    exporter: str, precision: str, models: Models, full_context: Context
) -> None:
    stage = EXPORTERS[exporter]()
    assert stage.refusal(models["float"]) == ""
    if reason := stage.refusal(models[precision]):
        with pytest.raises(Unfit, match=reason) as caught:
            stage(models[precision], full_context)
        assert len(caught.value.lines()) <= 6


@every_exporter
@every_precision
def test_manifest_is_complete(exporter: str, precision: str, artifact_of: ArtifactOf, models: Models) -> None:
    artifact, model = artifact_of(exporter, precision), models[precision]
    manifest = artifact.manifest
    assert manifest.format == EXPORTERS[exporter].format
    assert manifest.integer == (precision in INTEGERS)
    assert (manifest.input, manifest.classes) == (model.spec, model.classes)
    assert manifest.params == count_params(model.blueprint) > 0
    assert manifest.macs == count_macs(model.blueprint, model.spec) > 0
    files = [path for path in artifact.folder.rglob("*") if path.is_file() and path.name != MANIFEST]
    assert manifest.sha256 == {path.relative_to(artifact.folder).as_posix(): sha256_of(path) for path in files}
    assert manifest.sha256.keys() == {manifest.file, *manifest.parts, *EXPORTERS[exporter].notes, PROBE}
    assert "torch" in manifest.tools
    assert all(version[0].isdigit() for version in manifest.tools.values())
    assert artifact.bytes == sum(path.stat().st_size for path in artifact.files) > 0


@every_exporter
@every_precision
def test_probe_is_the_models_answers_on_validation_images(
    exporter: str, precision: str, artifact_of: ArtifactOf, models: Models, full_context: Context
) -> None:
    probe, model = artifact_of(exporter, precision).probe(), models[precision]
    assert np.array_equal(probe.fitted_NHWC, full_context.data.validation.images.fitted_NHWC(0, 32))
    assert np.array_equal(probe.logits_NK, model.logits_NK(model.spec.normalize(probe.fitted_NHWC)))


@every_pair
def test_float_answers_are_the_models(exporter: str, runtime: str, artifact_of: ArtifactOf) -> None:
    wanted, found = answers(runtime, artifact_of(exporter, "float"))
    assert (found.shape, found.dtype) == (wanted.shape, np.float32)
    assert np.abs(found - wanted).max() <= 1e-3 * np.abs(wanted).max()
    assert np.array_equal(found.argmax(1), wanted.argmax(1))


@every_pair
@every_integer
def test_int8_answers_are_the_reference_modules(
    exporter: str, runtime: str, precision: str, artifact_of: ArtifactOf
) -> None:
    wanted, found = answers(runtime, artifact_of(exporter, precision))
    assert (found.argmax(1) == wanted.argmax(1)).mean() >= 0.96  # 31 of 32
    sqnr_db = 10 * np.log10((wanted**2).sum() / max(((found - wanted) ** 2).sum(), 1e-12))
    assert sqnr_db >= 20


@every_pair
@every_precision
def test_as_many_images_a_call_as_the_manifest_says(
    exporter: str, runtime: str, precision: str, artifact_of: ArtifactOf
) -> None:
    artifact = artifact_of(exporter, precision)
    probe, batch = artifact.probe(), artifact.manifest.batch or 7
    found = RUNTIMES[runtime]().open(artifact, threads=1)(artifact.manifest.input.normalize(probe.fitted_NHWC[:batch]))
    assert np.array_equal(found.argmax(1), probe.logits_NK[:batch].argmax(1))


@every_pair
def test_a_session_gives_fresh_arrays(exporter: str, runtime: str, artifact_of: ArtifactOf) -> None:
    """A second answer does not overwrite the first."""
    artifact = artifact_of(exporter, "float")
    session = RUNTIMES[runtime]().open(artifact, threads=1)
    x_NCHW = artifact.manifest.input.normalize(artifact.probe().fitted_NHWC)
    first = session(x_NCHW[:1])
    kept = first.copy()
    session(x_NCHW[1:2])
    assert np.array_equal(first, kept)


@every_pair
def test_what_a_runtime_cannot_open_is_named(
    exporter: str, runtime: str, artifact_of: ArtifactOf, tmp_path: Path
) -> None:
    artifact = artifact_of(exporter, "float")
    broken = Artifact(tmp_path, artifact.manifest)
    for path in broken.files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not a network" * 40)
    with pytest.raises(UnavailableError, match=str(broken.path)) as caught:
        RUNTIMES[runtime]().open(broken, threads=1)
    assert len(caught.value.lines()) <= 6


@every_exporter
@every_precision
def test_the_file_tells_nothing_of_where_it_was_made(exporter: str, precision: str, artifact_of: ArtifactOf) -> None:
    files = [path for path in artifact_of(exporter, precision).folder.rglob("*") if path.is_file()]
    content = b"".join(path.read_bytes() for path in files)
    told = [b"site-packages", b"stack_trace", os.getcwd().encode(), sys.prefix.encode(), tempfile.gettempdir().encode()]
    if exporter == "ExportOnnx":
        told += [b".py", b"forward("]
    assert [word for word in told if word in content] == []


@every_exporter
@settings(max_examples=6)
@given(name=st.sampled_from(["model", PROBE, MANIFEST]), position=st.integers(0, 10**9))
def test_a_flipped_bit_is_refused_and_named(
    exporter: str, name: str, position: int, artifact_of: ArtifactOf, tmp_path_factory: pytest.TempPathFactory
) -> None:
    artifact = artifact_of(exporter, "float")
    folder = tmp_path_factory.mktemp("flipped") / "artifact"
    shutil.copytree(artifact.folder, folder)
    path = folder / (artifact.manifest.file if name == "model" else name)
    flip_bit(path, position)
    with pytest.raises(CorruptFile, match=path.name):
        Artifact.load(folder)


@every_exporter
def test_exporting_changes_no_model(
    exporter: str, models: Models, artifact_of: ArtifactOf, full_context: Context
) -> None:
    x_NCHW = full_context.data.validation.x_NCHW(0, 32)
    for precision in ("float", "dynamic"):
        model = models[precision]
        if EXPORTERS[exporter]().refusal(model):
            continue
        before = fingerprint(model), model.logits_NK(x_NCHW).tobytes()
        EXPORTERS[exporter]()(model, full_context)
        assert (fingerprint(model), model.logits_NK(x_NCHW).tobytes()) == before
    if not EXPORTERS[exporter]().refusal(models["int8"]):
        assert np.array_equal(artifact_of(exporter, "int8").probe().logits_NK, models["int8"].logits_NK(x_NCHW))


class Wide(nn.Module):
    """Mostly weights, so that a file's size is theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 64, 3, padding=1), nn.Conv2d(64, 512, 3, padding=1)
        self.relu, self.pool, self.head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(512, 10)

    def forward(self, x):
        x = self.pool(self.relu(self.two(self.relu(self.one(x)))))
        return self.head(x.flatten(1))


@pytest.fixture(scope="module")
def wide(context: Context) -> dict[str, tuple[Model, Model]]:
    """The float and the int8 model by precision."""
    model = replace(hand_made(Wide, channels=1), spec=context.data.spec, classes=context.data.classes)
    layers = Dense(hidden=(768, 512))(None, context)
    return {"int8": (model, PostTraining()(model, context)), "dynamic": (layers, Dynamic()(layers, context))}


@every_exporter
@every_integer
def test_int8_files_are_a_fraction(
    exporter: str, precision: str, wide: dict[str, tuple[Model, Model]], context: Context
) -> None:
    if reason := EXPORTERS[exporter]().refusal(wide[precision][1]):
        pytest.skip(reason)
    drafts = [EXPORTERS[exporter]()(model, context) for model in wide[precision]]
    big, small = (len(d.content) + sum(len(d.beside[name]) for name in d.manifest.parts) for d in drafts)
    assert small < 0.45 * big


# --- ONNX ------------------------------------------------------------------------------------


def optimized(artifact: Artifact, path: Path) -> onnx.ModelProto:
    """The graph that ONNX Runtime makes of an artifact."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(artifact.path, options, providers=["CPUExecutionProvider"])
    return onnx.load(path)


def test_onnx_runtime_finds_its_integer_kernels(artifact_of: ArtifactOf, tmp_path: Path) -> None:
    nodes = [node.op_type for node in optimized(artifact_of("ExportOnnx", "int8"), tmp_path / "o.onnx").graph.node]
    assert nodes.count("QLinearConv") > 30
    assert {"Conv", "FusedConv", "ReduceMean", "Relu"} & set(nodes) == set()


def test_onnx_runtime_quantizes_and_multiplies_in_one_kernel(artifact_of: ArtifactOf, tmp_path: Path) -> None:
    nodes = [node.op_type for node in optimized(artifact_of("ExportOnnx", "dynamic"), tmp_path / "o.onnx").graph.node]
    assert nodes == ["Reshape", "DynamicQuantizeMatMul", *["Relu", "DynamicQuantizeMatMul"] * 2]


def test_dynamic_answers_are_the_kernels_own(artifact_of: ArtifactOf) -> None:
    """Not near: every range, every tie and every sum is the runtime's."""
    wanted, found = answers("onnxruntime", artifact_of("ExportOnnx", "dynamic"))
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@every_precision
def test_onnx_is_valid_and_named(precision: str, artifact_of: ArtifactOf, trained: Model) -> None:
    model = onnx.load(artifact_of("ExportOnnx", precision).path)
    onnx.checker.check_model(model, full_check=True)
    [given_], [answer] = model.graph.input, model.graph.output
    assert (given_.name, answer.name) == ("input", "logits")
    assert [d.dim_value for d in given_.type.tensor_type.shape.dim] == [1, *trained.spec.shape]
    assert [d.dim_value for d in answer.type.tensor_type.shape.dim] == [1, len(trained.classes)]
    assert [imported.version for imported in model.opset_import if not imported.domain] == [21]


@every_precision
def test_onnx_of_pixels_takes_bytes(
    precision: str, models: Models, dense: Model, full_context: Context, tmp_path: Path
) -> None:
    model, exact = models[precision], dense if precision == "dynamic" else models["float"]
    EXPORTERS["ExportOnnx"](pixels=True)(model, full_context).save(tmp_path)  # type: ignore[call-arg]
    artifact = Artifact.load(tmp_path)
    assert artifact.manifest.input == model.spec.model_copy(update={"dtype": "uint8"})
    [given_] = onnx.load(artifact.path).graph.input
    assert given_.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    wanted, found = answers("onnxruntime", artifact)
    check_parity(compare_logits(wanted, found), artifact.manifest.integer, "onnxruntime")
    floats = exact.logits_NK(exact.spec.normalize(artifact.probe().fitted_NHWC))
    assert (found.argmax(1) == floats.argmax(1)).mean() >= 0.9
    nodes = [node.op_type for node in optimized(artifact, tmp_path / "o.onnx").graph.node]
    assert precision != "int8" or not {"QuantizeLinear", "Conv"} & set(nodes)


def test_no_batch_norm_is_left_in_the_file(artifact_of: ArtifactOf) -> None:
    nodes = {node.op_type for node in onnx.load(artifact_of("ExportOnnx", "float").path).graph.node}
    assert "Conv" in nodes
    assert "BatchNormalization" not in nodes
    assert "Dropout" not in nodes


def test_the_manifest_is_read_back_as_it_was(artifact_of: ArtifactOf) -> None:
    artifact = artifact_of("ExportOnnx", "float")
    assert read_manifest(artifact.folder / MANIFEST) == artifact.manifest
