"""One flipped bit in any file is found, named, and mended by the next run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from faults import flip_bit
from resilience_kit import finish
from resilience_studies import Finished, artifact_bytes, delivered, done, entries, stored, temporaries, weights

from pipeline.bundle.checksums import SUMS
from pipeline.bundle.verify import verify_folder
from pipeline.errors import CorruptFile
from pipeline.model import STRUCTURE, WEIGHTS
from pipeline.results import read_results
from pipeline.store import FOLDER

STORED = {STRUCTURE, WEIGHTS, "model.onnx", "model.pt", "manifest.json", "probe.npz", "arrays.npz", "entry.json"}
POSITIONS = (0, 4321)


def test_these_are_all_kinds_of_stored_files(small: Finished) -> None:
    assert {path.name for path in (small.out / FOLDER).rglob("*") if path.is_file()} == STORED


@pytest.mark.parametrize("name", sorted(STORED))
def test_a_stored_file_is_made_again(name: str, small: Finished, tmp_path: Path) -> None:
    out = small.copy(tmp_path / "out")
    file = stored(out, name)
    intact = file.read_bytes()
    flip_bit(file, 4321)
    command = finish(small.study, out)
    assert f"warning: {file} " in command.stderr
    assert len(done(out)) == 1
    assert len(file.read_bytes()) == pytest.approx(len(intact), rel=0.01)
    assert entries(out).keys() == entries(small.out).keys()
    assert weights(out) == weights(small.out)
    assert temporaries(out) == []


def test_every_delivered_file_is_watched(small: Finished, tmp_path: Path) -> None:
    out = small.copy(tmp_path / "out")
    verify_folder(out)
    for name, path in delivered(out).items():
        for position in POSITIONS:
            flip_bit(path, position)
            with pytest.raises(CorruptFile) as caught:
                verify_folder(out)
            flip_bit(path, position)
            # Nothing vouches for the outermost sums: a bit of theirs may put the blame on a file they list.
            assert str(path) in str(caught.value) or name == SUMS
    verify_folder(out)


def test_every_delivered_file_is_restored(small: Finished, tmp_path: Path) -> None:
    out = small.copy(tmp_path / "out")
    for path in delivered(out).values():
        flip_bit(path, 4321)
    finish(small.study, out)
    verify_folder(out)
    assert done(out) == []
    assert artifact_bytes(out) == artifact_bytes(small.out)
    assert delivered(out).keys() == delivered(small.out).keys()
    assert read_results(out).variants == read_results(small.out).variants
    assert _charts(out) == _charts(small.out)


def _charts(out: Path) -> list[str]:
    """The report without what names the moment it was made."""
    return re.findall(r"<svg.*?</svg>", (out / "report.html").read_text(), re.DOTALL)
