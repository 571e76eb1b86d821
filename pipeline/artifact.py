"""An artifact: a folder with a model file, its manifest, and a probe that proves it."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

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
        format: "onnx", "torchscript" or "pt2".
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
    def bytes(self) -> int:
        """Size of the model file."""
        return self.path.stat().st_size

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
    """An artifact in memory, as an exporter makes it."""

    manifest: Manifest
    content: bytes
    probe: Probe

    def save(self, folder: Path) -> None:
        """Write the file, the probe, and last the manifest that vouches for both."""
        (folder / self.manifest.file).write_bytes(self.content)
        (folder / PROBE).write_bytes(self.probe.to_bytes())
        sha256 = {name: sha256_of(folder / name) for name in (self.manifest.file, PROBE)}
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
