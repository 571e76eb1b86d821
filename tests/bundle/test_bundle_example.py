"""The example an app developer reads: it must answer exactly as the pipeline does."""

from __future__ import annotations

import ast
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from bundle_kit import Made, classify, shipped
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.artifact import Artifact
from pipeline.bundle.write import write_bundle
from pipeline.exporters.onnx import ExportOnnx
from pipeline.model import Model
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.spec import InputSpec
from pipeline.stage import Context

EDGES = st.integers(1, 70)


def test_a_model_that_takes_pixels_is_given_them(made: Made, int8: Model, context: Context, tmp_path: Path) -> None:
    ExportOnnx(pixels=True)(int8, context).save(tmp_path)
    artifact = Artifact.load(tmp_path)
    write_bundle(tmp_path / "bundle", artifact, made.data.raw_test, OnnxRuntime().open(artifact, 1), shipped())
    tested = classify(tmp_path / "bundle", "--self-test")
    assert tested.returncode == 0, tested.stderr
    assert "Leave the values as they are" in (tmp_path / "bundle/README.md").read_text()


@pytest.fixture(scope="session")
def example(made: Made) -> dict[str, Any]:
    """The example's functions, as they stand in the bundle's file."""
    images = np.load(made.folder / "golden/inputs.npz")
    np.save(made.folder.parent / "one.npy", images["image_0"])
    arguments = [str(made.folder / "classify.py"), str(made.folder.parent / "one.npy")]
    with mock.patch.object(sys, "argv", arguments):
        return runpy.run_path(arguments[0])


def top_labels(output: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in output.splitlines()]


def write_pnm(path: Path, image_HWC: np.ndarray, comment: bool = False) -> Path:
    height, width, channels = image_HWC.shape
    note = b"# made by a camera\n# 12 34\n" if comment else b""
    head = b"%s\n%s%d %d\n255\n" % (b"P5" if channels == 1 else b"P6", note, width, height)
    path.write_bytes(head + image_HWC.tobytes())
    return path


def test_answers_like_the_pipeline_on_real_digits(made: Made, tmp_path: Path) -> None:
    spec = made.artifact.manifest.input
    for index, image in enumerate(made.data.raw_test[8:11]):
        [logits_K] = made.session(spec.normalize(spec.fit(image)[None]))
        probability = np.exp(logits_K - logits_K.max()) / np.exp(logits_K - logits_K.max()).sum()
        best = np.argsort(-probability)[:3]
        np.save(tmp_path / f"{index}.npy", image)
        done = classify(made.folder, tmp_path / f"{index}.npy")
        assert done.returncode == 0, done.stderr
        assert top_labels(done.stdout) == [made.artifact.manifest.classes[k] for k in best]
        shown = [float(line.split("%")[0]) / 100 for line in done.stdout.splitlines()]
        assert shown == pytest.approx(probability[best], abs=6e-5)


def test_logits_are_the_pipelines(made: Made, example: dict[str, Any]) -> None:
    spec = made.artifact.manifest.input
    for image in made.data.raw_test:
        [wanted] = made.session(spec.normalize(spec.fit(image)[None]))
        np.testing.assert_allclose(example["logits"](image), wanted, rtol=1e-5, atol=1e-6 * abs(wanted).max())


@pytest.mark.parametrize("comment", [False, True])
def test_reads_pgm_and_npy_alike(made: Made, example: dict[str, Any], tmp_path: Path, comment: bool) -> None:
    image = made.data.raw_test[0][:, :7]
    read = example["read"](write_pnm(tmp_path / "digit.pgm", image, comment))
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, image)


def test_first_pixels_may_look_like_white_space(example: dict[str, Any], tmp_path: Path) -> None:
    image = np.frombuffer(b" \n\t# 9 9\n 255\n  ", np.uint8).reshape(4, 4, 1)
    np.testing.assert_array_equal(example["read"](write_pnm(tmp_path / "odd.pgm", image)), image)


@pytest.mark.parametrize(
    ("size", "resize", "color"), [((16, 16), 16, "L"), ((224, 224), 256, "RGB"), ((24, 32), 37, "RGB")]
)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@settings(max_examples=60, deadline=None)
@given(height=EDGES, width=EDGES, seed=st.integers(0, 2**32 - 1))
def test_fits_byte_for_byte(
    example: dict[str, Any],
    size: tuple[int, int],
    resize: int,
    color: Any,
    interpolation: Any,
    height: int,
    width: int,
    seed: int,
) -> None:
    same_values: dict[str, Any] = {"mean": (0.5,), "std": (0.5,)} if color == "L" else {}
    spec = InputSpec(size=size, resize=resize, color=color, interpolation=interpolation, **same_values)
    image = np.random.default_rng(seed).integers(0, 256, (height, width, spec.channels), np.uint8)
    with mock.patch.dict(example["SPEC"], spec.model_dump(mode="json")):
        fitted = example["fit"](image)
    assert fitted.dtype == np.uint8
    assert fitted.tobytes() == spec.fit(image).tobytes()


@pytest.mark.parametrize(("height", "width"), [(480, 640), (999, 333), (300, 1001)])
def test_shrinks_photographs_byte_for_byte(example: dict[str, Any], height: int, width: int) -> None:
    spec = InputSpec(size=(224, 224), resize=256)
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    with mock.patch.dict(example["SPEC"], spec.model_dump(mode="json")):
        assert example["fit"](image).tobytes() == spec.fit(image).tobytes()


def test_reads_ppm(example: dict[str, Any], tmp_path: Path) -> None:
    image = np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3)
    with mock.patch.dict(example["SPEC"], {"mean": [0.5] * 3}):
        np.testing.assert_array_equal(example["read"](write_pnm(tmp_path / "x.ppm", image)), image)


def not_for_this_model(folder: Path) -> dict[str, Path]:
    rgb = np.zeros((4, 4, 3), np.uint8)
    np.save(folder / "rgb.npy", rgb)
    np.save(folder / "float.npy", np.zeros((4, 4, 1)))
    np.save(folder / "flat.npy", np.zeros((4, 4), np.uint8))
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 not for this reader")
    (folder / "deep.pgm").write_bytes(b"P5\n2 2\n65535\n" + bytes(8))
    write_pnm(folder / "rgb.ppm", rgb)
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["rgb.npy", "float.npy", "flat.npy", "photo.jpg", "deep.pgm", "rgb.ppm"])
def test_other_images_end_in_one_clear_line(made: Made, tmp_path: Path, name: str) -> None:
    path = not_for_this_model(tmp_path)[name]
    done = classify(made.folder, path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == f"{path}: expected a grey (L) image of uint8 values: .npy (height, width, 1) or binary PGM\n"


def test_rgb_models_refuse_grey_images(example: dict[str, Any], tmp_path: Path) -> None:
    grey = write_pnm(tmp_path / "grey.pgm", np.zeros((4, 4, 1), np.uint8))
    takes = {"mean": [0.5] * 3, "accepts": "an RGB image"}
    with mock.patch.dict(example["SPEC"], takes), pytest.raises(SystemExit, match=r"grey.pgm: expected an RGB image$"):
        example["read"](grey)


def test_self_test_passes(made: Made) -> None:
    done = classify(made.folder, "--self-test")
    assert (done.returncode, done.stdout) == (0, "all 8 golden examples agree\n"), done.stderr


def alter(path: Path, change: Callable[[Any], None]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def test_self_test_sees_altered_logits(bundle: Path) -> None:
    def raise_one(golden: Any) -> None:
        golden["image_3"]["logits"][0] += 2 * golden["image_3"]["tolerance"]

    alter(bundle / "golden/expected.json", raise_one)
    done = classify(bundle, "--self-test")
    assert (done.returncode, done.stderr) == (1, "off: image_3\n")


@pytest.mark.parametrize(("field", "value"), [("mean", [0.35]), ("std", [0.5]), ("resize", 20)])
def test_self_test_sees_altered_preprocessing(bundle: Path, field: str, value: Any) -> None:
    alter(bundle / "preprocess.json", lambda spec: spec.update({field: value}))
    done = classify(bundle, "--self-test")
    assert done.returncode == 1
    assert done.stderr.startswith("off: image_")


def test_self_test_sees_swapped_labels(bundle: Path) -> None:
    labels = (bundle / "labels.txt").read_text().splitlines()
    (bundle / "labels.txt").write_text("\n".join(labels[::-1]))
    done = classify(bundle, "--self-test")
    assert done.returncode == 1
    assert done.stderr.startswith("off: image_")


def test_self_test_sees_an_answer_that_is_not_a_number(bundle: Path) -> None:
    alter(bundle / "preprocess.json", lambda spec: spec.update(mean=[float("nan")]))
    assert classify(bundle, "--self-test").returncode == 1


def test_is_a_page_of_numpy_and_onnxruntime(made: Made) -> None:
    text = (made.folder / "classify.py").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    assert len(lines) <= 32
    imported = {
        name.name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import)
        for name in node.names
    } | {str(node.module) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert imported - set(sys.stdlib_module_names) == {"numpy", "onnxruntime"}


def test_passes_the_projects_own_linter(made: Made) -> None:
    config = Path(__file__).parents[2] / "pyproject.toml"
    text = (made.folder / "classify.py").read_text()
    for command in (["check"], ["format", "--check"]):
        arguments = [sys.executable, "-m", "ruff", *command, "--config", config, "--stdin-filename", "classify.py", "-"]
        done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_in_exported_readme_runs(made: Made) -> None:
    text = (Path(__file__).parents[2] / "exported/README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    code = code.replace("exported/quickstart/models/mobilenet_v2/onnx", str(made.artifact.folder))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    label, *_, difference = done.stdout.split()
    assert label in made.artifact.manifest.classes
    assert float(difference) < 1e-3
    assert str(made.artifact.folder) in code
