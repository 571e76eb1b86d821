"""One folder for an app: the model, its preprocessing, an example that runs, and a proof."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import Artifact, Manifest
from pipeline.bundle.card import Shipped, model_card
from pipeline.bundle.checksums import SUMS, listed, sums_of
from pipeline.bundle.golden import EXPECTED, checked_whole, expected, golden_images, image_files
from pipeline.bundle.readme import readme
from pipeline.errors import UsageError
from pipeline.files import write_files
from pipeline.rewrites.preprocessing import IMAGE, file_with_preprocessing
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

    Images = Sequence[NDArray[np.uint8]]

PLAIN, WHOLE = "model.onnx", "model-with-preprocessing.onnx"
PREPROCESS, LABELS, ABOUT, CARD = "preprocess.json", "labels.txt", "about.json", "MODEL_CARD.md"
NORMALIZED = {"float32": "(x / 255 - mean) / std for each channel", "uint8": "no arithmetic: the model does it"}
# Code that an app developer reads; Python's own is named so that nobody imports it here.
PROGRAMS = {
    "classify.py": "classify.py.txt",
    "self_test.py": "self_test.py.txt",
    "examples/javascript/classifier.mjs": "classifier.mjs",
    "examples/kotlin/Classifier.kt": "Classifier.kt",
    "examples/swift/Classifier.swift": "Classifier.swift",
}


def write_bundle(folder: Path, artifact: Artifact, raw_images: Images, session: Session, shipped: Shipped) -> None:
    """Make ``folder`` hold the bundle of one ONNX artifact, and no file of an older one.

    ``SHA256SUMS`` is written last: until then the folder does not verify.

    Args:
        raw_images: uint8 (height, width, channels) of any size; up to eight become golden.
        session: the artifact, opened; it gives the golden answers.

    Raises:
        UsageError: the artifact is not ONNX, the only format the example reads.
        DataError: there is no image to make a golden example of.
        ParityMiss: with preprocessing inside, the model answers otherwise.
    """
    if artifact.manifest.format != "onnx":
        raise UsageError(f"a bundle is made of an onnx artifact, not {artifact.manifest.format}", "add ExportOnnx")
    contents = bundle_files(artifact, golden_images(raw_images), session, shipped)
    stale = listed(folder) - contents.keys()
    write_files(folder, contents)
    for name in stale:
        (folder / name).unlink(missing_ok=True)
    write_files(folder, {SUMS: sums_of(contents)})


def bundle_files(artifact: Artifact, images: Images, session: Session, shipped: Shipped) -> dict[str, bytes]:
    """Every file of a bundle but its checksums, by name."""
    manifest = artifact.manifest
    # A label is one line, whatever a class folder was called.
    labels = tuple(" ".join(name.splitlines()) for name in manifest.classes)
    whole = file_with_preprocessing(artifact.path, manifest.input)
    golden = checked_whole(whole, images, expected(images, manifest.input, labels, session, manifest.integer))
    return {
        PLAIN: artifact.path.read_bytes(),
        WHOLE: whole,
        LABELS: "".join(f"{label}\n" for label in labels).encode(),
        PREPROCESS: as_json(preprocessing(manifest.input)),
        EXPECTED: as_json(golden),
        **image_files(images, manifest.input),
        **{name: files("pipeline.bundle").joinpath(file).read_bytes() for name, file in PROGRAMS.items()},
        ABOUT: as_json(about(manifest, shipped)),
        CARD: model_card(manifest, shipped).encode(),
        "README.md": readme(manifest, shipped, len(images)).encode(),
    }


def preprocessing(spec: InputSpec) -> dict[str, Any]:
    """The input's description as data, with the formula in words."""
    kind, file = ("a grey (L)", "PGM") if spec.color == "L" else ("an RGB", "PPM")
    return {
        **spec.model_dump(mode="json"),
        "layout": "NCHW",
        "dtype": spec.dtype,
        "input": "input",
        "output": "logits",
        "with_preprocessing": {"file": WHOLE, "input": IMAGE, "layout": "HWC", "dtype": "uint8"},
        "accepts": f"{kind} image of uint8 values: .npy (height, width, {spec.channels}) or binary {file}",
        "formula": "resize the uint8 image so that its shorter edge is `resize` and the longer one rounded down "
        "(antialiased `interpolation`, half-pixel centres; bicubic has a = -1/2), crop `size` (height, width) from "
        "half of what is over, halves of pixels to even, round to uint8; then "
        f"{NORMALIZED[spec.dtype]}; then put channels first and add a batch of 1",
    }


def about(manifest: Manifest, shipped: Shipped) -> dict[str, Any]:
    """What a program may want to show of the model, as data."""
    results, variant = shipped.results, shipped.variant
    return {
        "study": results.study,
        "recipe": variant.recipe,
        "integer": manifest.integer,
        "classes": len(manifest.classes),
        "top1": variant.top1.model_dump(mode="json"),
        "images": variant.images,
        "file_bytes": variant.file_bytes,
        "params": variant.params,
        "macs": variant.macs,
    }


def as_json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
