"""Which files beside an ONNX file hold its weights, and how big all are together. Nothing is changed."""

from __future__ import annotations

from pathlib import Path


def external_files(path: Path) -> tuple[Path, ...]:
    """Those that an ONNX file names and that are there, in sorted order; none of other formats' files."""
    import onnx

    if path.suffix != ".onnx":
        return ()
    model = onnx.load(path, load_external_data=False)
    places = {
        entry.value for value in model.graph.initializer for entry in value.external_data if entry.key == "location"
    }
    return tuple(file for place in sorted(places) if (file := path.parent / place).is_file())


def whole_bytes(path: Path) -> int:
    """Size of a model with all its weights."""
    return sum(file.stat().st_size for file in (path, *external_files(path)))
