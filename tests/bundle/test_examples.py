"""The examples in other languages: JavaScript is run, Kotlin and Swift are parsed where a parser is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_kit import Made

from pipeline.browser.web_runtime import FILES, PACKAGE, VERSION
from pipeline.bundle.golden import read_images

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")
# Where the tool keeps the package for its user; tests fetch nothing.
WEB = Path(os.environ.get("EDGEWRIGHT_CACHE") or Path.home() / ".cache/edgewright") / PACKAGE / VERSION
SCRIPT = """
import { readFileSync } from "node:fs";
const [ort, example] = await Promise.all([import(process.argv[2]), import(process.argv[3])]);
const { images, labels, model } = JSON.parse(readFileSync(0, "utf8"));
ort.env.wasm.numThreads = 1;
const classifier = await example.load(ort, new Uint8Array(readFileSync(model)), labels);
for (const { values, height, width, channels, golden } of images) {
  const logits = await example.logitsOf(classifier, { data: Uint8Array.from(values), height, width, channels });
  console.log(JSON.stringify([example.agrees(logits, golden), example.top(classifier, logits, 3)]));
}
"""


@needs_node
def test_the_example_in_javascript_is_javascript(made: Made) -> None:
    file = made.folder / "examples/javascript/classifier.mjs"
    done = subprocess.run([str(NODE), "--check", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@needs_node
@pytest.mark.skipif(not (WEB / FILES[0]).is_file(), reason="onnxruntime-web was not fetched: edgewright demo does")
def test_the_example_in_javascript_gives_the_golden_answers(made: Made, tmp_path: Path) -> None:
    golden = json.loads((made.folder / "golden/expected.json").read_text())
    raw = dict(zip(golden, read_images(made.folder), strict=True))
    asked = {
        "labels": (made.folder / "labels.txt").read_text(),
        "model": str(made.folder / "model-with-preprocessing.onnx"),
        "images": [_as_json(image, golden[name]) for name, image in raw.items()],
    }
    script = tmp_path / "run.mjs"
    script.write_text(SCRIPT)
    addresses = [path.as_uri() for path in (WEB / FILES[0], made.folder / "examples/javascript/classifier.mjs")]
    command = [str(NODE), str(script), *addresses]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [agrees for agrees, _ in said] == [True] * 8
    for (_, best), answer in zip(said, golden.values(), strict=True):
        powers = np.exp(np.array(answer["logits"]) - max(answer["logits"]))
        assert best[0]["label"] == answer["label"]
        assert best[0]["probability"] == pytest.approx(powers.max() / powers.sum(), abs=1e-3)


def _as_json(image: np.ndarray, golden: Any) -> dict[str, Any]:
    height, width, channels = image.shape
    return {
        "values": image.ravel().tolist(),
        "height": height,
        "width": width,
        "channels": channels,
        "golden": golden,
    }


@pytest.mark.parametrize(("language", "file"), [("kotlin", "Classifier.kt"), ("swift", "Classifier.swift")])
def test_the_other_examples_parse(made: Made, language: str, file: str) -> None:
    tree_sitter = pytest.importorskip("tree_sitter", reason="no parser of Kotlin and Swift is installed")
    grammar = pytest.importorskip(f"tree_sitter_{language}", reason=f"no parser of {language} is installed")
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    text = (made.folder / f"examples/{language}/{file}").read_bytes()
    assert not parser.parse(text).root_node.has_error
    assert parser.parse(text.rstrip()[:-1]).root_node.has_error  # it can fail
    assert b"not compiled where the bundle was made" in text


def test_all_name_what_the_bundle_holds(made: Made) -> None:
    write = import_module("pipeline.bundle.write")
    for name in write.PROGRAMS:
        if name.startswith("examples/"):
            text = (made.folder / name).read_text()
            assert {word for word in (write.WHOLE, write.LABELS) if word not in text} <= set()
