"""``edgewright bundle``: any recipe of a finished run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bundle_kit import program, results_of, variant
from PIL import Image
from tiny_run import TinyRun, copied, edgewright, finished

from pipeline.bundle.from_run import bundle_of, chosen
from pipeline.bundle.verify import verify_folder
from pipeline.errors import CorruptFile, DataError, UsageError
from pipeline.results import Recommendation, read_results


@pytest.fixture(scope="module")
def tiny() -> TinyRun:
    return finished()


@pytest.mark.parametrize("recipe", ["base", "int8"])
def test_any_recipe_becomes_a_bundle(tiny: TinyRun, tmp_path: Path, recipe: str) -> None:
    said = edgewright("bundle", tiny.out, "--recipe", recipe, "--out", tmp_path / "mine", "--json")
    assert said.exit_code == 0, said.stderr
    assert json.loads(said.stdout) == {"bundle": str(tmp_path / "mine"), "signature": None}
    assert verify_folder(tmp_path / "mine")
    done = program(tmp_path / "mine", "self_test.py")
    assert done.returncode == 0, done.stdout + done.stderr
    about = json.loads((tmp_path / "mine/about.json").read_text())
    assert (about["recipe"], about["integer"]) == (recipe, recipe == "int8")


def test_the_recommended_one_is_the_runs_own_bundle(tiny: TinyRun, tmp_path: Path) -> None:
    bundle_of(tiny.out, None, tmp_path / "again")
    own = tiny.out / "bundle"
    names = {path.relative_to(own) for path in own.rglob("*") if path.is_file()}
    assert {name for name in names if (own / name).read_bytes() != (tmp_path / "again" / name).read_bytes()} == set()


def test_it_has_a_place_of_its_own(tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert bundle_of(tiny.out, "int8", None) == Path("bundles/tiny-int8")
    assert verify_folder(tmp_path / "bundles/tiny-int8")
    with pytest.raises(UsageError, match="lies in the run's own folder"):
        bundle_of(tiny.out, "int8", tiny.out / "bundle")


def test_unknown_recipes_and_formats_are_named(tiny: TinyRun) -> None:
    with pytest.raises(UsageError, match=r"no recipe is called 'in8' — did you mean 'int8'\?"):
        bundle_of(tiny.out, "in8", None)
    torchscript = results_of(variant(format="torchscript"))
    with pytest.raises(UsageError, match="tiny was not exported to ONNX"):
        chosen(torchscript, "tiny")
    none = results_of(variant(), recommendation=Recommendation(variant=None, sentence="ship none"))
    with pytest.raises(UsageError, match="recommends no recipe"):
        chosen(none, None)
    assert chosen(none, "tiny").index == 0


def test_onnx_runtimes_own_numbers_are_told(tiny: TinyRun) -> None:
    results = results_of(variant(runtime="openvino"), variant())
    assert chosen(results, "tiny").variant.runtime == "onnxruntime"


def test_without_golden_images_it_asks_for_photographs(tmp_path: Path) -> None:
    run = copied(tmp_path)
    (run.out / "bundle/golden/inputs.npz").unlink()
    with pytest.raises(DataError, match="no bundle to take golden images from"):
        bundle_of(run.out, "int8", tmp_path / "mine")


def test_a_changed_run_is_refused(tmp_path: Path) -> None:
    run = copied(tmp_path)
    path = run.out / "bundle/golden/image_0.png"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(CorruptFile, match=r"image_0\.png"):
        bundle_of(run.out, "int8", tmp_path / "mine")
    model = run.out / read_results(run.out).variants[0].folder / "model.onnx"
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(CorruptFile, match=r"model\.onnx"):
        bundle_of(run.out, "base", tmp_path / "mine")


def test_photographs_are_for_models_of_colour(tiny: TinyRun, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "one.png")
    with pytest.raises(UsageError, match="the model takes grey images"):
        bundle_of(tiny.out, "int8", tmp_path / "mine", images=tmp_path)
