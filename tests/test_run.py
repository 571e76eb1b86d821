"""The loop on a real, tiny study: what it delivers, does again, leaves alone and removes."""

from __future__ import annotations

import json
import shutil
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from faults import contents, flip_bit
from PIL import Image
from report.example import example_results
from rich.console import Console
from tiny_run import TinyRun, again, changed, copied, done, finished, study

from pipeline.artifact import MANIFEST, Artifact
from pipeline.aside import Aside
from pipeline.bundle.verify import verify_folder
from pipeline.deliver import bundled, remove_stale
from pipeline.errors import CorruptFile, DataError, FolderBusy, Interrupted, StageFailed
from pipeline.exporters.onnx import ExportOnnx
from pipeline.files import folder_lock
from pipeline.results import RESULTS, Results, Variant, read_results
from pipeline.run import run
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.study import read_study
from pipeline.trainers import supervised

EXPECTED = {"results.json", "report.html", "predictions.npz", "results.csv", "results.md"}
EXPECTED |= {"bundle/model.onnx", "bundle/classify.py", "SHA256SUMS"} | {
    f"models/{recipe}/onnx/{file}"
    for recipe in ("base", "int8")
    for file in ("model.onnx", "manifest.json", "probe.npz")
}


@pytest.fixture
def tiny(tmp_path: Path) -> TinyRun:
    return copied(tmp_path)


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the run is finished, nothing here may train again."""
    finished()

    def forbidden(*_: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(supervised, "fit", forbidden)


def delivered(out: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(out).items() if not name.startswith((".store", ".lock"))}


def test_everything_is_delivered_and_verifies(tiny: TinyRun) -> None:
    assert delivered(tiny.out).keys() >= EXPECTED
    assert verify_folder(tiny.out)
    results = read_results(tiny.out)
    assert {variant.folder for variant in results.variants} == {"models/base/onnx", "models/int8/onnx"}
    assert [record.label for record in results.stages][:2] == ["base · MobileNetV3", "base · Train"]


def test_the_numbers_are_those_of_the_delivered_files(tiny: TinyRun) -> None:
    results, data = read_results(tiny.out), changed().data.load()
    for variant in results.variants:
        artifact = Artifact.load(tiny.out / variant.folder)
        session = OnnxRuntime().open(artifact, 1)
        right = [session(data.test.x_NCHW(i, i + 1)).argmax() == label for i, label in enumerate(data.test.labels_N)]
        assert (variant.correct, variant.images) == (sum(right), len(right))
        assert variant.file_bytes == artifact.path.stat().st_size
        assert variant.compressed_bytes == len(zlib.compress(artifact.path.read_bytes(), 6))
        assert variant.integer == (variant.recipe == "int8")
        assert artifact.manifest.lineage[-1] == ExportOnnx().describe()


def test_running_again_does_nothing_again(tiny: TinyRun) -> None:
    before, (results, said) = read_results(tiny.out), again(tiny.out)
    assert done(results) == []
    assert said.count(" cached") == 10
    assert (results.variants, results.layers) == (before.variants, before.layers)
    assert results.recommendation == before.recommendation
    assert verify_folder(tiny.out)


def test_another_benchmark_only_measures_latency_again(tiny: TinyRun) -> None:
    results, _ = again(tiny.out, benchmark={**study()["benchmark"], "rounds": 3, "calls": 2})
    assert done(results) == ["latency of all variants, interleaved"]
    sittings = results.conditions.sittings
    assert [variant.latency.calls for variant in results.variants] == [6 * sittings] * 2
    assert [len(variant.latency.sittings_ms) for variant in results.variants] == [sittings] * 2


def test_a_budget_that_nothing_meets_ships_nothing(tiny: TinyRun) -> None:
    results, _ = again(tiny.out, budget={"max_latency_ms": 1e-6})
    assert done(results) == []
    assert results.recommendation.variant is None
    assert not (tiny.out / "bundle").exists()
    assert verify_folder(tiny.out)
    assert read_results(tiny.out).recommendation == results.recommendation


def test_a_recipe_that_left_the_study_leaves_the_folder(tiny: TinyRun) -> None:
    results, _ = again(tiny.out, recipes={"base": study()["recipes"]["base"]})
    assert [variant.recipe for variant in results.variants] == ["base"]
    assert sorted(path.name for path in (tiny.out / "models").iterdir()) == ["base"]
    assert verify_folder(tiny.out)
    assert done(again(tiny.out)[0]) == []


def test_a_damaged_entry_is_made_again(tiny: TinyRun) -> None:
    [record] = [r for r in read_results(tiny.out).stages if r.label == "int8 · onnx on onnxruntime"]
    flip_bit(tiny.out / ".store" / record.key / "arrays.npz", 4001)
    results, said = again(tiny.out)
    assert done(results) == [record.label]
    assert "warning:" in said
    assert "arrays.npz" in said


def test_a_damaged_delivery_is_repaired(tiny: TinyRun) -> None:
    before = delivered(tiny.out)
    flip_bit(tiny.out / "models/int8/onnx/model.onnx", 4001)
    (tiny.out / "bundle/model.onnx").unlink()
    assert done(again(tiny.out)[0]) == []
    assert delivered(tiny.out).keys() == before.keys()
    same = {name for name, content in delivered(tiny.out).items() if content == before[name]}
    assert same >= {name for name in before if name.endswith((".onnx", MANIFEST, ".npz"))}


def test_a_deleted_folder_is_delivered_again(tiny: TinyRun) -> None:
    shutil.rmtree(tiny.out / "models")
    (tiny.out / RESULTS).unlink()
    assert done(again(tiny.out)[0]) == []
    assert delivered(tiny.out).keys() >= EXPECTED


def test_without_out_results_go_below_exported(
    tiny: TinyRun, kept_aside: Aside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.file.parent)
    kept_aside.close()  # it is elsewhere
    (tiny.file.parent / "exported").mkdir()
    tiny.out.rename(tiny.file.parent / "exported" / "tiny")
    results = run(changed(), threads=1, console=Console(quiet=True))
    assert done(results) == []
    assert (tiny.file.parent / "exported" / "tiny" / RESULTS).is_file()


def test_one_run_a_folder(tiny: TinyRun) -> None:
    with folder_lock(tiny.out), pytest.raises(FolderBusy, match="in use by another run"):
        again(tiny.out)


def test_a_run_outside_the_main_thread(tiny: TinyRun) -> None:
    found: list[Results] = []
    worker = threading.Thread(target=lambda: found.append(again(tiny.out)[0]))
    worker.start()
    worker.join(timeout=60)
    assert [done(results) for results in found] == [[]]


def test_an_interruption_keeps_what_was_delivered(tiny: TinyRun, monkeypatch: pytest.MonkeyPatch) -> None:
    before = delivered(tiny.out)

    def interrupted(*_: Any, **__: Any) -> None:
        raise Interrupted("interrupted")

    monkeypatch.setattr(Aside, "do", interrupted)
    with pytest.raises(Interrupted):
        again(tiny.out, benchmark={**study()["benchmark"], "rounds": 9})
    assert delivered(tiny.out) == before


def test_the_test_split_is_out_of_reach_of_every_stage(tiny: TinyRun) -> None:
    data = changed().data.load()
    seen = {
        image.tobytes() for part in (data.splits.train, data.splits.validation) for image in part.images.fitted_NHWC()
    }
    probes = [Artifact.load(tiny.out / f"models/{recipe}/onnx").probe().fitted_NHWC for recipe in ("base", "int8")]
    assert all(image.tobytes() in seen for image in np.concatenate(probes))


def _variants(*formats: tuple[str, str]) -> tuple[Variant, ...]:
    like = example_results(1).variants[0]
    return tuple(like.model_copy(update={"recipe": recipe, "format": format_}) for recipe, format_ in formats)


@pytest.mark.parametrize(("chosen", "expected"), [(0, 1), (1, 1), (2, None), (None, None)])
def test_the_bundle_is_the_recommended_recipe_as_onnx(chosen: int | None, expected: int | None) -> None:
    results = example_results()
    variants = _variants(("a", "pt2"), ("a", "onnx"), ("b", "pt2"), ("c", "onnx"))
    recommendation = results.recommendation.model_copy(update={"variant": chosen})
    changed_results = results.model_copy(update={"variants": variants, "recommendation": recommendation})
    assert bundled(changed_results) == expected


def test_only_our_own_folders_are_removed(tmp_path: Path) -> None:
    theirs = tmp_path / "app" / "onnx"
    theirs.mkdir(parents=True)
    (theirs / MANIFEST).write_text(json.dumps({"name": "a web page's manifest"}))
    with pytest.raises(CorruptFile):
        remove_stale(tmp_path, set())
    assert (theirs / MANIFEST).is_file()


def test_the_file_of_the_run_is_the_study(tiny: TinyRun) -> None:
    assert read_study(yaml.safe_load(tiny.file.read_text())) == changed()


def test_images_in_two_splits_are_told(tiny: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said during the run and kept in the results; the numbers are as they are."""
    monkeypatch.undo()  # another data set is trained on
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (90, 8, 8), dtype=np.uint8), np.arange(90) % 3
    images[85:] = images[:5]
    np.savez(tmp_path / "a.npz", x_train=images[:60], y_train=labels[:60], x_test=images[60:], y_test=labels[60:])
    results, said = again(tmp_path / "other", data=f"npz:{tmp_path / 'a.npz'}")
    [told] = results.warnings[:1]
    assert "of test" in told
    assert f"warning: {told}" in said
    assert sum(results.splits.values()) == 90


def test_a_recipe_that_fails_ends_a_study_or_is_left_out_of_a_lenient_one(tmp_path: Path) -> None:
    nothing = [{"after": "base"}, {"Prune": {"ratio": 0.01, "round_to": 512}}]
    recipes = {**study()["recipes"], "nothing": nothing, "nothing-int8": [{"after": "nothing"}, "PostTraining"]}
    run = copied(tmp_path)
    with pytest.raises(StageFailed, match="nothing · Prune: pruning removed nothing"):
        again(run.out, recipes=recipes)
    results, said = again(run.out, recipes=recipes, lenient=True)
    assert [variant.recipe for variant in results.variants] == ["base", "int8"]
    assert [(failure.recipe, failure.format) for failure in results.failures] == [("nothing", "")]
    assert "the study goes on without nothing" in said
    assert "nothing: nothing · Prune: pruning removed nothing" in (run.out / "results.md").read_text()
    assert read_study({**study(), "lenient": True}).written()["lenient"] is True


def test_a_lenient_study_still_needs_its_reference(tmp_path: Path) -> None:
    base = [*study()["recipes"]["base"], {"Prune": {"ratio": 0.01, "round_to": 512}}]
    with pytest.raises(StageFailed, match="removed nothing"):
        again(copied(tmp_path).out, recipes={"base": base}, lenient=True)


def test_without_labels_the_reference_answers_first(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(20):
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(tmp_path / f"{index}.png")
    data = {"any_folder": {"path": str(tmp_path), "outputs": 10, "size": 8}}
    untrained = [{"MobileNetV3": {"width": 0.25, "stem_stride": 1}}]
    recipes = {"other": untrained, "base": untrained}
    with pytest.raises(DataError, match="no labels"):
        again(tmp_path / "out", data=data, recipes=recipes)
    results, _ = again(tmp_path / "out", data=data, recipes={"base": untrained})
    assert (results.labelled, results.variants[0].top1.value) == (False, 1.0)
