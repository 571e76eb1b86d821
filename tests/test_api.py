"""What ``import pipeline`` offers, and what it costs."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import pipeline

PUBLIC = [
    "Artifact",
    "Benchmark",
    "Budget",
    "Context",
    "EdgewrightError",
    "InputSpec",
    "Model",
    "Recipe",
    "Results",
    "Stage",
    "Study",
    "Wishes",
    "built_in",
    "compare",
    "load_study",
    "optimize",
    "read_results",
    "run",
    "verify",
]
HEAVY = {"torch", "torchvision", "numpy", "onnx", "onnxruntime", "sklearn", "scipy", "pydantic", "matplotlib"}


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_public_names() -> None:
    assert sorted(pipeline.__all__) == PUBLIC
    assert sorted(dir(pipeline)) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_is_there_and_documented(name: str) -> None:
    assert getattr(pipeline, name).__doc__


def test_another_name_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'pipeline' has no attribute 'Studi'"):
        pipeline.Studi  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    loaded = set(json.loads(python("import sys, json, pipeline; print(json.dumps(sorted(sys.modules)))")))
    assert "pipeline" in loaded
    assert loaded & HEAVY == set()


def test_describing_a_study_loads_no_torch() -> None:
    code = "import sys, json; from pipeline import Study, Recipe, built_in; built_in('quickstart').to_yaml()"
    loaded = set(json.loads(python(f"{code}; print(json.dumps(sorted(sys.modules)))")))
    assert loaded & (HEAVY - {"pydantic"}) == set()


@pytest.mark.parametrize(
    "code",
    [
        "from pipeline import Study, run",
        "import pipeline.run; from pipeline import run",
        "from pipeline.run import run as first; from pipeline import run; assert run is first",
        "import pipeline; pipeline.run; import pipeline.run; from pipeline import run",
        "import pipeline.cli, pipeline.run; from pipeline import Study, run",
    ],
)
def test_run_is_the_function_however_it_was_imported(code: str) -> None:
    assert python(f"{code}\nprint(type(run).__name__, run.__name__)") == "function run\n"


def test_a_name_is_the_thing_in_its_home() -> None:
    assert pipeline.Study is importlib.import_module("pipeline.study").Study
    assert pipeline.verify is importlib.import_module("pipeline.bundle.verify").verify_folder
