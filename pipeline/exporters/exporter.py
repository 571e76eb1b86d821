"""What every exporter does: write the file, describe it, and give it a probe."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.artifact import Draft, Manifest, Probe
from pipeline.environment import Environment
from pipeline.errors import Unfit
from pipeline.hush import hushed
from pipeline.measure.size import count_macs, count_params
from pipeline.model import Model
from pipeline.spec import InputSpec
from pipeline.stage import ARTIFACT, FLOAT, INT8, MODEL, Context, Stage

if TYPE_CHECKING:
    import torch
    from torch import nn

PROBE_IMAGES = 32


class Exporter(Stage):
    """Turns a model, float or int8, into an artifact of one format.

    Attributes:
        format: the name that runtimes look for.
        suffix: of the model file.
        notes: names of files beside it that no runtime reads.
        batch: images a call; 0 for any number.
        tools: distributions whose versions belong in the manifest.
        environment: where a part of the work is done; None where all of it is done here.
    """

    takes: ClassVar[tuple[str, ...]] = (FLOAT, INT8, MODEL)
    gives: ClassVar[str] = ARTIFACT
    format: ClassVar[str]
    suffix: ClassVar[str]
    notes: ClassVar[tuple[str, ...]] = ()
    batch: ClassVar[int] = 0
    tools: ClassVar[tuple[str, ...]]
    environment: ClassVar[Environment | None] = None

    @abstractmethod
    def write(self, model: Model, path: Path) -> None:
        """Write the model file; it maps ``input`` (N, C, H, W) to ``logits`` (N, K).

        What else it writes into the file's folder, which holds nothing before, goes with it.
        """

    def input_of(self, spec: InputSpec) -> InputSpec:
        """What the file takes, of a model that takes ``spec``."""
        return spec

    def reference(self, value: Model) -> Model:
        """The model whose answers the file has to give."""
        return value

    def images_a_call(self, model: Model) -> int:
        """As ``batch``, where the model has no say in it."""
        return self.batch

    def refusal(self, model: Model) -> str:
        """Why the format cannot hold this model; "" where it can."""
        return ""

    def __call__(self, value: Model, context: Context) -> Draft:
        """Export it.

        Raises:
            Unfit: the format cannot hold this model; a study goes on without the file.
        """
        if reason := self.refusal(value):
            raise Unfit(reason, "export it to another format as well")
        if self.environment:
            self.environment.make(context.warn)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"model{self.suffix}"
            self.write(value, path)
            contents = contents_of(Path(folder))
        content = contents.pop(path.relative_to(folder).as_posix())
        manifest = self.manifest(value, tuple(name for name in contents if name not in self.notes))
        return Draft(manifest, content, probe(self.reference(value), context), contents)

    def manifest(self, value: Model, parts: tuple[str, ...] = ()) -> Manifest:
        return Manifest(
            recipe="",
            format=self.format,
            file=f"model{self.suffix}",
            parts=parts,
            integer=value.integer,
            batch=self.images_a_call(value),
            input=self.input_of(value.spec),
            classes=value.classes,
            params=count_params(value.blueprint),
            macs=count_macs(value.blueprint, value.spec),
            lineage=(),
            tools=self._versions(),
        )

    def _versions(self) -> dict[str, str]:
        """Of what made the file: packages from here, and what only the other environment has."""
        there = self.environment.versions if self.environment else {}
        return {**there, **{name: version(name) for name in self.tools}}


def contents_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative name, in sorted order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def probe(value: Model, context: Context) -> Probe:
    """The first validation images with the answers of the module that is exported."""
    images = context.data.validation.images.fitted_NHWC(0, PROBE_IMAGES)
    return Probe(images, value.logits_NK(value.spec.normalize(images)))


def deployed(value: Model) -> nn.Module:
    """The module as it is shipped: BatchNorm folded; int8 modules have been folded before."""
    from pipeline.folding import folded

    return value.module if value.integer else folded(value.module)


def captured(model: Model, batch: int) -> torch.export.ExportedProgram:
    """The shipped module's graph for ``batch`` images, or for any number where it is 0."""
    import torch

    dynamic = None if batch else ({0: torch.export.Dim("batch", min=1, max=65536)},)
    example = torch.zeros(batch or 2, *model.spec.shape)
    with hushed(), torch.no_grad():
        return torch.export.export(deployed(model), (example,), dynamic_shapes=dynamic)
