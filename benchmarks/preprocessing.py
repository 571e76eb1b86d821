"""Does preprocessing inside the graph answer as torchvision's, and does the golden self-test catch an app's mistakes?

    EDGEWRIGHT_DATA=DATA python -m benchmarks.preprocessing [--images 200]

Wants ``imagenet_val/``, ``weights/`` and ``cats_dogs/`` below the data root. EfficientNet-Lite0 and MobileNetV2 with
weights that others trained on ImageNet answer photographs of cats and dogs, which have many sizes: through the file
with preprocessing inside, and through the plain file behind ``InputSpec.fit`` and behind torchvision's own, of Pillow
images and of tensors. Then ten bundles' golden examples, each of other photographs, are written of each network, float
and int8, and an app that takes BGR for RGB, another mean, or stretches where it should crop, faces each bundle's own
``self_test.py``. Writes the figures to ``benchmarks/results/<machine>/preprocessing.json``. Ten minutes on one core.
"""

from __future__ import annotations

import argparse
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figure import Figure, tell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.artifact import Artifact
    from pipeline.dataset import DataSet
    from pipeline.model import Model
    from pipeline.spec import InputSpec

    Answer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]

COMMAND = "python -m benchmarks.preprocessing"
AGREEMENT, BUNDLES, GOLDEN = 99.5, 10, 8  # promised per cent, and what is tried
MEAN = (0.485, 0.456, 0.406)  # ImageNet's, where these networks want another


def photographs(count: int) -> list[NDArray[np.uint8]]:
    """As they came, of every size the folder has."""
    from pipeline.data._decode import decode
    from pipeline.data._root import data_root

    files = sorted((data_root() / "cats_dogs").rglob("*.jpg"))
    return [decode(file) for file in files[:: max(1, len(files) // count)][:count]]


def by_torchvision(spec: InputSpec, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fitted by torchvision's own resize and centre crop of a Pillow image, as for published weights."""
    import numpy as np
    from PIL import Image

    return np.asarray(_cut(spec, Image.fromarray(image_HWC)))


def by_torchvision_on_tensors(spec: InputSpec, image_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same of a uint8 tensor, for which torch has a resize of its own."""
    import torch

    fitted: NDArray[np.uint8] = _cut(spec, torch.tensor(image_HWC).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    return fitted


def _cut(spec: InputSpec, image: Any) -> Any:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    resized = functional.resize(image, [spec.resize], InterpolationMode(spec.interpolation), antialias=True)
    return functional.center_crop(resized, list(spec.size))


def whole(artifact: Artifact) -> Answer:
    """The file with preprocessing inside, opened."""
    import onnxruntime

    from pipeline.rewrites.preprocessing import file_with_preprocessing
    from pipeline.runtimes.onnx_runtime import EXACT

    content, options = file_with_preprocessing(artifact.path, artifact.manifest.input), onnxruntime.SessionOptions()
    options.add_session_config_entry(*EXACT)
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda image_HWC: session.run(["logits"], {"image": image_HWC})[0][0]


def app(
    artifact: Artifact, spec: InputSpec, fit: Callable[[InputSpec, NDArray[np.uint8]], NDArray[np.uint8]]
) -> Answer:
    """The plain file, behind an app's own preprocessing."""
    from pipeline.runtimes.onnx_runtime import OnnxRuntime

    session = OnnxRuntime().open(artifact, 1)
    return lambda image_HWC: session(spec.normalize(fit(spec, image_HWC)[None]))[0]


def figures(name: str, artifact: Artifact, images: Sequence[NDArray[np.uint8]]) -> Iterator[Figure]:
    """Of one file: how it agrees, and which mistakes show."""
    import numpy as np

    from pipeline.spec import InputSpec

    spec, inside = artifact.manifest.input, whole(artifact)
    found = np.array([inside(image) for image in images])
    ways = {
        "torchvision": by_torchvision,
        "torchvision on tensors": by_torchvision_on_tensors,
        "InputSpec.fit": InputSpec.fit,
    }
    for label, fit in ways.items():
        wanted = np.array([app(artifact, spec, fit)(image) for image in images])
        off = abs(found - wanted).max() / abs(wanted).max()
        title = f"{name}: same top-1 as with {label}, % of {len(images)}; logits off by {100 * off:.2f} % at most"
        yield Figure(title, 100 * float((found.argmax(1) == wanted.argmax(1)).mean()), AGREEMENT, at_least=True)
    mistakes = {
        "BGR": app(artifact, spec, lambda spec, image: InputSpec.fit(spec, image[:, :, ::-1])),
        "another mean": app(artifact, spec.model_copy(update={"mean": MEAN}), InputSpec.fit),
        "stretched": app(artifact, spec, InputSpec.stretch),
    }
    with tempfile.TemporaryDirectory() as folder:
        tests = list(self_tests(artifact, images, Path(folder)))
        yield Figure(f"{name}: right apps that fail one of {BUNDLES} self-tests", _caught(tests, inside), 0)
        for mistake, mistaken in mistakes.items():
            title = f"{name}: self-tests of {BUNDLES} that catch {mistake}"
            yield Figure(title, _caught(tests, mistaken), BUNDLES, at_least=True)


def self_tests(
    artifact: Artifact, images: Sequence[NDArray[np.uint8]], folder: Path
) -> Iterator[Callable[[str, Answer], list[str]]]:
    """What each bundle's ``self_test.py`` holds an app to; each has other golden photographs."""
    from pipeline.bundle.golden import EXPECTED, checked_whole, expected, image_files
    from pipeline.bundle.write import LABELS, PREPROCESS, PROGRAMS, as_json, preprocessing
    from pipeline.files import write_files
    from pipeline.rewrites.preprocessing import file_with_preprocessing
    from pipeline.runtimes.onnx_runtime import OnnxRuntime

    manifest, session = artifact.manifest, OnnxRuntime().open(artifact, 1)
    content = file_with_preprocessing(artifact.path, manifest.input)
    program = Path(sys.modules["pipeline.bundle.write"].__file__ or "").parent / PROGRAMS["self_test.py"]
    for index in range(BUNDLES):
        golden = images[index * GOLDEN : (index + 1) * GOLDEN]
        answers = expected(golden, manifest.input, manifest.classes, session, manifest.integer)
        contents = {
            "self_test.py": program.read_bytes(),
            PREPROCESS: as_json(preprocessing(manifest.input)),
            LABELS: "".join(f"{label}\n" for label in manifest.classes).encode(),
            EXPECTED: as_json(checked_whole(content, golden, answers)),
            **image_files(golden, manifest.input),
        }
        write_files(folder / str(index), contents)
        yield runpy.run_path(str(folder / str(index) / "self_test.py"))["off"]


def _caught(tests: Sequence[Callable[[str, Answer], list[str]]], answer: Answer) -> int:
    return sum(bool(off("inputs.npz", answer)) for off in tests)


def artifacts(data: DataSet, folder: Path) -> Iterator[tuple[str, Artifact]]:
    """Each network as a float and an int8 file."""
    from benchmarks.peers.order import UNTUNED, default_models
    from pipeline.stage import Context

    for name, model in default_models(data).items():
        context = Context(data.splits.normalized_as(model.spec))
        for kind, value in {"float": model, "int8": UNTUNED(model, context)}.items():
            yield f"{name}, {kind}", _exported(value, context, folder / f"{name}-{kind}")


def _exported(value: Model, context: Any, folder: Path) -> Artifact:
    from pipeline.artifact import Artifact
    from pipeline.exporters.onnx import ExportOnnx

    folder.mkdir()
    ExportOnnx()(value, context).save(folder)
    return Artifact.load(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=200, help="photographs to answer; at least 80")
    given = parser.parse_args()
    from pipeline.dataset import read_source

    data, images = read_source({"imagenet": {}}).load(), photographs(given.images)
    print(f"{len(images)} photographs of {len({image.shape for image in images})} sizes")
    with tempfile.TemporaryDirectory() as folder:
        kept = [figure for name, each in artifacts(data, Path(folder)) for figure in figures(name, each, images)]
    return tell("preprocessing", COMMAND, kept)


if __name__ == "__main__":
    sys.exit(main())
