"""Somebody's float ONNX file as the first step of a recipe."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import Draft, Manifest, Probe
from pipeline.errors import UsageError
from pipeline.files import sha256_of
from pipeline.spec import key_of
from pipeline.stage import ARTIFACT, NOTHING, Context, Stage

if TYPE_CHECKING:
    import onnx

FILE = "model.onnx"
TOOLS = ("onnx", "onnxruntime")
PROBE_IMAGES = 64  # two near ties of 32 that round to the other side would be a twentieth


class GivenOnnx(Stage):
    """A float ONNX file of any origin as it is, but for one image a call and our names for its input and output.

    Its weights are taken in.

    Attributes:
        file: its path.
        convert: raise an operator set that is too old for int8.
    """

    takes: ClassVar[tuple[str, ...]] = (NOTHING,)
    gives: ClassVar[str] = ARTIFACT
    format: ClassVar[str] = "onnx"
    file: str
    convert: bool = False

    @property
    def path(self) -> Path:
        return Path(self.file).expanduser()

    def describe(self) -> dict[str, Any]:
        """The file counts by its content, wherever it lies.

        Raises:
            UsageError: there is no such file.
        """
        from pipeline.rewrites.external_data import external_files

        described = super().describe()
        if self.path.is_file():
            digests = [sha256_of(path) for path in (self.path, *external_files(self.path))]
            described[self.kind] |= {"file": self.path.name, "file_sha256": key_of(digests)}
        return described

    def __call__(self, value: None, context: Context) -> Draft:
        from pipeline.quantizers.onnx_read import one_image, read_float
        from pipeline.rewrites.costs import costs
        from pipeline.rewrites.port_names import with_port_names

        model = with_port_names(one_image(read_float(self.path, self.convert), context.data.spec.shape))
        spec, classes, (params, macs) = context.data.spec, context.data.classes, costs(model)
        manifest = Manifest(
            recipe="",
            format=self.format,
            file=FILE,
            integer=False,
            batch=1,
            input=spec,
            classes=classes,
            params=params,
            macs=macs,
            lineage=(),
            tools=tools(),
        )
        return drafted(model, manifest, context)


def tools() -> dict[str, str]:
    """Versions of what makes the files."""
    return {name: version(name) for name in TOOLS}


def drafted(model: onnx.ModelProto, manifest: Manifest, context: Context) -> Draft:
    """The artifact of a file, its probe answered as the file is written.

    Raises:
        UsageError: it does not tell as many classes apart as the data has.
    """
    from pipeline.quantizers.onnx_file import as_written

    fitted_NHWC = context.data.validation.images.fitted_NHWC(0, PROBE_IMAGES)
    logits_NK = as_written(model, manifest.input.normalize(fitted_NHWC))
    told, wanted = logits_NK.shape[1], len(manifest.classes)
    if told != wanted:
        raise UsageError(f"the file tells {told:,} classes apart, the data has {wanted:,}", "set outputs of the data")
    return Draft(manifest, model.SerializeToString(), Probe(fitted_NHWC, logits_NK))
