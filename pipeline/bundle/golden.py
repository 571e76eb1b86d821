"""Golden examples: raw images with the answers that the shipped model gave, and how far another machine may be off."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from pipeline.errors import CorruptFile, DataError, ParityMiss
from pipeline.runtimes.onnx_runtime import EXACT
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.runtime import Session

    Images = Sequence[NDArray[np.uint8]]

INPUTS, FITTED, EXPECTED = "golden/inputs.npz", "golden/fitted.npz", "golden/expected.json"
GOLDEN_IMAGES = 8
# Photographs as they came are large, and a bundle is committed to an app's repository.
GOLDEN_BYTES = 32 * 2**20
FLOAT_TOLERANCE, INT8_TOLERANCE = 1e-3, 5e-2


class Answer(TypedDict):
    """What the model says of one image: ``tolerance`` is of each logit, absolute."""

    label: str
    logits: list[float]
    tolerance: float


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
) -> dict[str, Answer]:
    """What the shipped file answers for each image, and how far another machine may be off."""
    answers: dict[str, Answer] = {}
    for index, image in enumerate(images):
        [logits_K] = session(spec.normalize(spec.fit(image)[None]))
        tolerance = (INT8_TOLERANCE if integer else FLOAT_TOLERANCE) * float(abs(logits_K).max())
        label = labels[int(logits_K.argmax())]
        answers[key(index)] = {"label": label, "logits": logits_K.tolist(), "tolerance": tolerance}
    return answers


def checked_whole(content: bytes, images: Images, golden: Mapping[str, Answer]) -> dict[str, Answer]:
    """The golden answers, once the file with preprocessing is held to them.

    A pixel that lies between two integers may be rounded the other way in the graph, which a network of few pixels
    feels: twice what that comes to is allowed to other machines too.

    Args:
        content: of the ONNX file that takes raw images.

    Raises:
        ParityMiss: it gives another answer for an image.
    """
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*EXACT)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    checked: dict[str, Answer] = {}
    for index, image in enumerate(images):
        [[logits_K]] = session.run(["logits"], {"image": image})
        answer = golden[key(index)]
        off, scale = float(np.abs(logits_K - np.array(answer["logits"])).max()), max(map(abs, answer["logits"]))
        if not off <= INT8_TOLERANCE * scale:
            allowed = f"{INT8_TOLERANCE * scale:.3g} allowed"
            cause = f"with preprocessing in the graph, logits of {key(index)} are off by {off:.3g} ({allowed})"
            raise ParityMiss(cause, "report it with the model's file")
        checked[key(index)] = {**answer, "tolerance": max(answer["tolerance"], 2 * off)}
    return checked


def image_files(images: Images, spec: InputSpec) -> dict[str, bytes]:
    """Each image for who reads PNG and for who reads numpy's archives, raw and as the network's pixels.

    Returns:
        content by file name.
    """
    files = {f"golden/{key(index)}.png": png(image) for index, image in enumerate(images)}
    return {**files, INPUTS: archive(images), FITTED: archive([spec.fit(image) for image in images])}


def read_images(folder: Path) -> Images:
    """The raw golden images of the bundle in ``folder``, in order.

    Raises:
        CorruptFile: they cannot be read.
    """
    import numpy as np

    try:
        with np.load(folder / INPUTS, allow_pickle=False) as arrays:
            return [arrays[key(index)] for index in range(len(arrays.files))]
    except (OSError, ValueError, KeyError):
        raise CorruptFile(f"{folder / INPUTS} cannot be read", "run the study again") from None


def png(image_HWC: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image_HWC[:, :, 0] if image_HWC.shape[2] == 1 else image_HWC).save(buffer, "PNG")
    return buffer.getvalue()


def archive(images: Images) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    arrays: dict[str, Any] = {key(index): image for index, image in enumerate(images)}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def key(index: int) -> str:
    """Name of a golden image in all files."""
    return f"image_{index}"
