"""Core ML packages, inspected here: only a Mac can run them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tiny import family, plain_model

from pipeline.artifact import Artifact
from pipeline.errors import UnavailableError, Unfit
from pipeline.exporters.core_ml import ExportCoreMl
from pipeline.measure.parity import check_parity, probe_parity
from pipeline.model import Model
from pipeline.runtimes.core_ml import CoreMl
from pipeline.stage import Context
from pipeline.study import read_study

coremltools = pytest.importorskip("coremltools", reason="needs edgewright[coreml]")
on_a_mac = pytest.mark.skipif(sys.platform != "darwin", reason="Core ML runs on a Mac")


@pytest.fixture(scope="module")
def artifact(context: Context, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("coreml")
    ExportCoreMl()(plain_model(context.data), context).save(folder)
    return Artifact.load(folder)


def spec_of(artifact: Artifact) -> Any:
    """The package as Apple's own tools read it."""
    return coremltools.models.MLModel(str(artifact.path.parent), skip_model_load=True).get_spec()


def operations(spec: Any) -> list[str]:
    main = spec.mlProgram.functions["main"]
    return [operation.type for operation in main.block_specializations[main.opset].operations]


def test_a_package_is_a_folder_of_parts(artifact: Artifact) -> None:
    assert artifact.manifest.file == "model.mlpackage/Manifest.json"
    assert all(name.startswith("model.mlpackage/Data/") for name in artifact.manifest.parts)
    assert artifact.bytes > 4 * artifact.manifest.params  # float32


def test_input_and_output_are_as_everywhere(artifact: Artifact) -> None:
    description = spec_of(artifact).description
    [taken], [given] = description.input, description.output
    assert (taken.name, given.name) == ("input", "logits")
    assert list(taken.type.multiArrayType.shape) == [1, *artifact.manifest.input.shape]
    float32 = coremltools.proto.FeatureTypes_pb2.ArrayFeatureType.FLOAT32
    assert taken.type.multiArrayType.dataType == given.type.multiArrayType.dataType == float32


def test_it_computes_in_float32_what_the_network_does(artifact: Artifact) -> None:
    found = operations(spec_of(artifact))
    assert found.count("conv") == 4
    assert found.count("linear") == 1
    assert "cast" not in found  # which halves would need


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "mobilenet_v2_tensorflow", "shufflenet_v2", "resnet18"])
def test_families_of_other_operators_are_converted(name: str, trained: Model, context: Context, tmp_path: Path) -> None:
    ExportCoreMl()(family(name, trained), context).save(tmp_path)
    assert "batch_norm" not in operations(spec_of(Artifact.load(tmp_path)))


def test_older_phones_get_an_older_package(context: Context, artifact: Artifact) -> None:
    older = ExportCoreMl(ios=15).converted(plain_model(context.data)).get_spec()
    assert older.specificationVersion < spec_of(artifact).specificationVersion
    with pytest.raises(ValidationError):
        ExportCoreMl(ios=12)  # had no ML programs


def test_int8_is_refused(int8: Model, context: Context) -> None:
    with pytest.raises(Unfit, match="never checked on a Mac"):
        ExportCoreMl()(int8, context)


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has it")
def test_elsewhere_the_runtime_says_that_it_needs_a_mac() -> None:
    study = {
        "name": "apple",
        "data": "digits",
        "recipes": {"small": ["LeNet"]},
        "reference": "small",
        "exports": ["ExportCoreMl"],
        "runtimes": ["coreml"],
    }
    with pytest.raises(UnavailableError, match="coreml needs a Mac, which is not here") as caught:
        read_study(study)
    assert caught.value.fix == "use a Mac"


@on_a_mac
def test_its_answers_are_the_networks(artifact: Artifact) -> None:
    check_parity(probe_parity(artifact, CoreMl().open(artifact, 1)), False, "coreml")
