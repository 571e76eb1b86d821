"""The self-test says whether a device gives the golden answers; a planted mistake does not pass."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_kit import Made, program, shipped

from pipeline.bundle.write import write_bundle
from pipeline.spec import InputSpec

Answer = Callable[[Any], Any]


@pytest.fixture(scope="module")
def tall(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose golden images are not square."""
    folder = tmp_path_factory.mktemp("tall") / "bundle"
    images = [np.concatenate([image, image[:3]]) for image in made.data.raw_test]
    write_bundle(folder, made.artifact, images, made.session, shipped())
    return folder


def off(folder: Path, answer: Answer) -> list[str]:
    """What the bundle's own self-test finds."""
    return runpy.run_path(str(folder / "self_test.py"))["off"]("inputs.npz", answer)  # type: ignore[no-any-return]


def app(made: Made, spec: InputSpec, fit: Callable[[InputSpec, Any], Any] = InputSpec.fit) -> Answer:
    """An app that does the preprocessing itself."""
    return lambda image: made.session(spec.normalize(fit(spec, image)[None]))[0]


def test_this_device_gives_the_golden_answers(made: Made) -> None:
    done = program(made.folder, "self_test.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [
        "model-with-preprocessing.onnx: all 8 golden answers",
        "model.onnx: all 8 golden answers",
    ]


def test_needs_numpy_and_one_runtime(made: Made) -> None:
    text = (made.folder / "self_test.py").read_text()
    assert {line for line in text.splitlines() if line.startswith(("import ", "from "))} == {
        *("import json", "import pathlib", "import sys"),
        *("import numpy as np", "import onnxruntime"),
    }


def test_a_right_app_passes_and_planted_mistakes_do_not(made: Made, tall: Path) -> None:
    spec = made.artifact.manifest.input
    assert off(tall, app(made, spec)) == []
    wrong_mean = spec.model_copy(update={"mean": (0.35,)})
    mistakes = {
        "another mean": app(made, wrong_mean),
        "stretched, not cropped": app(made, spec, InputSpec.stretch),
        "upside down": lambda image: app(made, spec)(image[::-1]),
        "not a number": lambda image: app(made, spec)(image) * np.nan,
    }
    assert [name for name, mistaken in mistakes.items() if off(tall, mistaken) == []] == []


@pytest.mark.parametrize(
    ("change", "file"),
    [
        (lambda golden: golden["image_3"]["logits"].__setitem__(0, 99.0), "model.onnx"),
        (lambda golden: golden["image_3"].__setitem__("label", "another"), "model-with-preprocessing.onnx"),
    ],
)
def test_an_answer_that_is_off_is_named(bundle: Path, change: Callable[[Any], None], file: str) -> None:
    path = bundle / "golden/expected.json"
    golden = json.loads(path.read_text())
    change(golden)
    path.write_text(json.dumps(golden))
    done = program(bundle, "self_test.py")
    assert done.returncode == 1
    assert f"{file}: off: image_3" in done.stdout.splitlines()


def test_another_model_is_seen(bundle: Path) -> None:
    shutil.copy(bundle / "model.onnx", bundle / "model-with-preprocessing.onnx")
    assert program(bundle, "self_test.py").returncode == 1
