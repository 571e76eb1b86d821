"""``edgewright bundle``: the bundle of any recipe of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifact import Artifact
from pipeline.bundle.card import Shipped
from pipeline.bundle.checksums import verify_bundle
from pipeline.bundle.golden import GOLDEN_IMAGES, INPUTS, read_images
from pipeline.bundle.write import write_bundle
from pipeline.data._decode import SUFFIXES, decode
from pipeline.errors import DataError, UsageError
from pipeline.plugin import did_you_mean
from pipeline.results import Results, read_results
from pipeline.runtimes.onnx_runtime import OnnxRuntime
from pipeline.spec import InputSpec

if TYPE_CHECKING:
    from pipeline.bundle.golden import Images

DELIVERED = "bundle"


def bundle_of(run: Path, recipe: str | None, out: Path | None, images: Path | None = None) -> Path:
    """Write the bundle of one recipe of a finished run.

    Args:
        run: the run's output folder.
        recipe: the recommended one unless given.
        out: the bundle's folder, ``bundles/STUDY-RECIPE`` unless given; not inside the run's, which is whole as it is.
        images: a folder of photographs to become golden; those of the run's own bundle unless given.

    Returns:
        the bundle's folder.

    Raises:
        UsageError: there is no such recipe, it was not exported to ONNX, or ``out`` lies in the run's folder.
        DataError: there are no images.
        CorruptFile: the artifact or the run's bundle is not what was written.
    """
    shipped = chosen(read_results(run), recipe)
    folder = out or Path("bundles") / f"{shipped.results.study}-{shipped.variant.recipe}"
    if folder.resolve().is_relative_to(run.resolve()):
        raise UsageError(f"{folder} lies in the run's own folder", "choose another --out")
    artifact = Artifact.load(run / shipped.variant.folder)
    golden = photographs(images, artifact.manifest.input) if images else from_delivered(run)
    write_bundle(folder, artifact, golden, OnnxRuntime().open(artifact, 1), shipped)
    return folder


def chosen(results: Results, recipe: str | None) -> Shipped:
    """The recipe's ONNX variant; the recommended recipe's where none is named."""
    recommended = results.recommendation.variant
    if recipe is None and recommended is None:
        raise UsageError("the run recommends no recipe", f"name one: --recipe {results.variants[0].recipe}")
    wanted = recipe or results.variants[recommended or 0].recipe
    known = list(dict.fromkeys(variant.recipe for variant in results.variants))
    if wanted not in known:
        raise UsageError(f"no recipe is called {wanted!r}{did_you_mean(wanted, known)}", f"one of: {', '.join(known)}")
    # ONNX Runtime's own numbers where there are several runtimes: it is what the bundle's programs run on.
    fitting = [index for index, each in enumerate(results.variants) if (each.recipe, each.format) == (wanted, "onnx")]
    fitting.sort(key=lambda index: results.variants[index].runtime != OnnxRuntime.kind)
    if not fitting:
        raise UsageError(f"{wanted} was not exported to ONNX", "add ExportOnnx to the study's exports and run it again")
    return Shipped(results, fitting[0])


def from_delivered(run: Path) -> Images:
    """The golden images of the run's own bundle, as they came from the test split."""
    if not (run / DELIVERED / INPUTS).is_file():
        raise DataError(f"{run} has no bundle to take golden images from", "give photographs: --images DIR")
    verify_bundle(run / DELIVERED)
    return read_images(run / DELIVERED)


def photographs(folder: Path, spec: InputSpec) -> Images:
    """The first photographs of a folder, in the order of their names."""
    if spec.color != "RGB":
        raise UsageError("--images holds colour photographs, and the model takes grey images", "leave it out")
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)[:GOLDEN_IMAGES]
    if not files:
        raise DataError(f"{folder} holds no image", "give a folder of photographs")
    return [decode(file) for file in files]
