"""An artifact: a folder with a model of one or several files, its manifest, and a probe that proves it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError

from pipeline.errors import CorruptFile, NewerFormat
from pipeline.files import sha256_of, verify_files
from pipeline.spec import InputSpec, Value, key_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MANIFEST = "manifest.json"
PROBE = "probe.npz"
SCHEMA_VERSION = 1


class Manifest(Value):
    """What a model file is, how its input is made, and where it came from.

    Attributes:
        format: "onnx", "torchscript", "pt2" and so on: what its exporter calls it.
        file: the model file that a runtime is given, relative to the folder.
        parts: other files that the runtime reads with it, such as its weights.
        integer: the weights and activations are int8.
        batch: images a call; 0 where the file takes any number.
        params: learned numbers. macs: multiply-accumulates for one image.
        lineage: every stage with its fields, first to last, and the data's digest.
        tools: versions of what made the file.
        sha256: of every other file in the folder.
        seal: hash of all the fields above, so that the manifest vouches for itself too.
    """

    schema_version: int = SCHEMA_VERSION
    recipe: str
    format: str
    file: str
    # Left out where there is one file, so that manifests written before there were parts stay what they were.
    parts: Annotated[tuple[str, ...], Field(exclude_if=lambda parts: not parts)] = ()
    integer: bool
    batch: int
    input: InputSpec
    classes: tuple[str, ...]
    params: int
    macs: int
    lineage: tuple[Mapping[str, Any], ...]
    tools: Mapping[str, str]
    sha256: Mapping[str, str] = {}
    seal: str = ""

    @property
    def portable(self) -> bool:
        """Its weights saturate on no processor; see ``PostTraining``."""
        return any(
            fields.get("portable", False)
            for stage in self.lineage
            for fields in stage.values()
            if isinstance(fields, Mapping)
        )

    def sealed(self, sha256: Mapping[str, str]) -> Manifest:
        """This manifest, vouching for files with these hashes."""
        open_manifest = self.model_copy(update={"sha256": dict(sha256), "seal": ""})
        return open_manifest.model_copy(update={"seal": key_of(open_manifest.model_dump(mode="json"))})

    def to_text(self) -> str:
        return self.model_dump_json(indent=1)


@dataclass(frozen=True)
class Probe:
    """Real images and the answers that the exported module gave for them.

    Attributes:
        fitted_NHWC: uint8 images. logits_NK: float32 answers.
    """

    fitted_NHWC: NDArray[np.uint8]
    logits_NK: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        import numpy as np

        buffer = io.BytesIO()
        np.savez(buffer, fitted_NHWC=self.fitted_NHWC, logits_NK=self.logits_NK)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path) -> Probe:
        import numpy as np

        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["fitted_NHWC"], arrays["logits_NK"])


@dataclass(frozen=True)
class Artifact:
    """An artifact on disk. ``load`` verifies it; a runtime may then open ``path``."""

    folder: Path
    manifest: Manifest

    @property
    def path(self) -> Path:
        return self.folder / self.manifest.file

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the runtime reads, ``path`` first."""
        return (self.path, *(self.folder / name for name in self.manifest.parts))

    @property
    def bytes(self) -> int:
        """Size of the model, all its files together."""
        return sum(path.stat().st_size for path in self.files)

    def probe(self) -> Probe:
        return Probe.load(self.folder / PROBE)

    @classmethod
    def load(cls, folder: Path) -> Artifact:
        """Read the manifest and check every file's sha256.

        Raises:
            NewerFormat: the manifest is of a later schema than this program knows.
            CorruptFile: a file is missing, damaged or not the one that was written.
        """
        manifest = read_manifest(folder / MANIFEST)
        verify_files(folder, manifest.sha256)
        return cls(folder, manifest)


@dataclass(frozen=True)
class Draft:
    """An artifact in memory, as an exporter makes it.

    Attributes:
        content: of the manifest's file. beside: of every other file by its name, parts and what only people or
            build tools read.
    """

    manifest: Manifest
    content: bytes
    probe: Probe
    beside: Mapping[str, bytes] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Write the files, the probe, and last the manifest that vouches for all."""
        contents = {self.manifest.file: self.content, **self.beside, PROBE: self.probe.to_bytes()}
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        sha256 = {name: sha256_of(folder / name) for name in contents}
        (folder / MANIFEST).write_text(self.manifest.sealed(sha256).to_text(), encoding="utf-8")


def read_manifest(path: Path) -> Manifest:
    """The manifest at ``path``; see ``Artifact.load`` for what it raises."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text)
        version = int(data["schema_version"])
    except (OSError, ValueError, KeyError, TypeError):
        raise CorruptFile(f"{path} is missing or is not a manifest", "export it again") from None
    NewerFormat.refuse(path, version, SCHEMA_VERSION)
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, item["loc"])) for item in error.errors()[:3])
        raise CorruptFile(f"{path} is damaged: {fields}", "export it again") from None
    # Comparing the whole text finds even a byte that JSON does not care about.
    if manifest.sealed(manifest.sha256).to_text() != text:
        raise CorruptFile(f"{path} is not the file that was written", "export it again")
    return manifest
