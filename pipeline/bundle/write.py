"""One folder for an app: the model, its preprocessing, an example that runs, and a proof."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifact import Artifact
from pipeline.bundle.checksums import SUMS, listed, sums_of
from pipeline.bundle.readme import readme
from pipeline.errors import DataError, UsageError
from pipeline.files import write_files
from pipeline.results import Variant
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

    Images = Sequence[NDArray[np.uint8]]

PREPROCESS = "preprocess.json"
NORMALIZED = {"float32": "(x / 255 - mean) / std for each channel", "uint8": "no arithmetic: the model does it"}
GOLDEN_IMAGES = 8
# Photographs as they came are large, and a bundle is committed to an app's repository.
GOLDEN_BYTES = 32 * 2**20
FLOAT_TOLERANCE, INT8_TOLERANCE = 1e-3, 5e-2


def write_bundle(
    folder: Path, artifact: Artifact, raw_images: Images, session: Session, variant: Variant, study: str
) -> None:
    """Make ``folder`` hold the bundle of one ONNX artifact, and no file of an older one.

    ``SHA256SUMS`` is written last: until then the folder does not verify.

    Args:
        raw_images: uint8 (height, width, channels) of any size; up to eight become golden.
        session: the artifact, opened; it gives the golden answers.

    Raises:
        UsageError: the artifact is not ONNX, the only format the example reads.
        DataError: there is no image to make a golden example of.
    """
    if artifact.manifest.format != "onnx":
        raise UsageError(f"a bundle is made of an onnx artifact, not {artifact.manifest.format}", "add ExportOnnx")
    contents = bundle_files(artifact, golden_images(raw_images), session, variant, study)
    stale = listed(folder) - contents.keys()
    write_files(folder, contents)
    for name in stale:
        (folder / name).unlink(missing_ok=True)
    write_files(folder, {SUMS: sums_of(contents)})


def bundle_files(
    artifact: Artifact, images: Images, session: Session, variant: Variant, study: str
) -> dict[str, bytes]:
    """Every file of a bundle but its checksums, by name."""
    manifest = artifact.manifest
    # A label is one line, whatever a class folder was called.
    labels = tuple(" ".join(name.splitlines()) for name in manifest.classes)
    return {
        "model.onnx": artifact.path.read_bytes(),
        "labels.txt": "".join(f"{label}\n" for label in labels).encode(),
        PREPROCESS: as_json(preprocessing(manifest.input)),
        "golden/inputs.npz": archive(images),
        "golden/expected.json": as_json(expected(images, manifest.input, labels, session, manifest.integer)),
        "classify.py": files("pipeline.bundle").joinpath("classify.py.txt").read_bytes(),
        "README.md": readme(manifest, variant, study, len(images)).encode(),
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
        "accepts": f"{kind} image of uint8 values: .npy (height, width, {spec.channels}) or binary {file}",
        "formula": "resize the uint8 image so that its shorter edge is `resize` (antialiased `interpolation`, "
        "half-pixel centres; bicubic has a = -1/2), crop the centre to `size` (height, width), round to uint8; then "
        f"{NORMALIZED[spec.dtype]}; then put channels first and add a batch of 1",
    }


def golden_images(raw_images: Images) -> Images:
    """The first images that make a bundle of bearable size; at least one."""
    if not raw_images:
        raise DataError("there are no images to make golden examples of", "give the data set test images")
    chosen = [raw_images[0]]
    for image in raw_images[1:GOLDEN_IMAGES]:
        if sum(each.nbytes for each in chosen) + image.nbytes <= GOLDEN_BYTES:
            chosen.append(image)
    return chosen


def expected(
    images: Images, spec: InputSpec, labels: Sequence[str], session: Session, integer: bool
) -> dict[str, dict[str, Any]]:
    """What the shipped file answers for each image, and how far another machine may be off."""
    answers: dict[str, dict[str, Any]] = {}
    for index, image in enumerate(images):
        [logits_K] = session(spec.normalize(spec.fit(image)[None]))
        tolerance = (INT8_TOLERANCE if integer else FLOAT_TOLERANCE) * float(abs(logits_K).max())
        label = labels[int(logits_K.argmax())]
        answers[key(index)] = {"label": label, "logits": logits_K.tolist(), "tolerance": tolerance}
    return answers


def archive(images: Images) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    arrays: dict[str, Any] = {key(index): image for index, image in enumerate(images)}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def key(index: int) -> str:
    """Name of a golden image in both files."""
    return f"image_{index}"


def as_json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
