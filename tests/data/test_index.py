"""Files are decoded wholly once, and again when they change; a damaged index is nothing worse than none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from photo_kit import BLUE, fill, load, save

from pipeline.data import _index
from pipeline.data._decode import Examined, examine
from pipeline.data._index import examined


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_CACHE", str(tmp_path / "cache"))
    fill(tmp_path / "photos", 3)
    return tmp_path / "photos"


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were examined and not remembered."""
    names: list[str] = []

    def recording(file: Path) -> Examined:
        names.append(file.relative_to(file.parent.parent).as_posix())
        return examine(file)

    monkeypatch.setattr(_index, "examine", recording)
    return names


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.png"))


def index_of(root: Path) -> Path:
    [index] = (root.parent / "cache" / "index").glob("*.json")
    return index


def test_known_files_are_not_opened(root: Path, looked_at: list[str]) -> None:
    first = examined(root, files(root))
    assert len(looked_at) == 6
    assert examined(root, files(root)) == first
    assert len(looked_at) == 6
    assert first == {file: examine(file) for file in files(root)}


def test_changed_new_and_removed_files_are_seen(root: Path, looked_at: list[str]) -> None:
    examined(root, files(root))
    looked_at.clear()
    save(root / "cat" / "000.png", BLUE)
    save(root / "dog" / "new.png", BLUE)
    (root / "dog" / "001.png").unlink()
    found = examined(root, files(root))
    assert sorted(looked_at) == ["cat/000.png", "dog/new.png"]
    assert set(found) == set(files(root))
    assert found[root / "cat" / "000.png"].width == 20


def test_anew_looks_at_everything(root: Path, looked_at: list[str]) -> None:
    examined(root, files(root))
    examined(root, files(root), anew=True)
    assert len(looked_at) == 12
    examined(root, files(root))
    assert len(looked_at) == 12


DAMAGES = ["", "{", "[]", "null", '{"version": 0, "files": {}}', '{"files": 3}', "\0\0\0"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_index_is_made_again(root: Path, looked_at: list[str], damage: str) -> None:
    first = examined(root, files(root))
    index_of(root).write_text(damage)
    assert examined(root, files(root)) == first
    assert len(looked_at) == 12
    examined(root, files(root))
    assert len(looked_at) == 12


@pytest.mark.parametrize("entry", [3, [], [[1, 2]], [[1, 2], {}], [[1, 2], {"sha256": 7, "notes": []}]])
def test_a_damaged_entry_is_made_again(root: Path, entry: object) -> None:
    first = examined(root, files(root))
    index = index_of(root)
    data = json.loads(index.read_text())
    data["files"][str(files(root)[0])] = entry
    index.write_text(json.dumps(data))
    assert examined(root, files(root)) == first


def test_where_nothing_can_be_written_everything_still_works(root: Path, looked_at: list[str]) -> None:
    (root.parent / "cache").write_text("a file where a folder should be")
    for _ in range(2):
        assert len(examined(root, files(root))) == 6
    assert len(looked_at) == 12


def test_loading_decodes_nothing_that_is_known(
    root: Path, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root, 20)
    data = load(root)
    looked_at.clear()
    assert load(root).digest == data.digest
    assert looked_at == []


def test_what_was_examined_before_ctrl_c_is_remembered(root: Path, looked_at: list[str]) -> None:
    def stop(done: int, total: int, note: str = "") -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        examined(root, files(root), stop)
    looked_at.clear()
    examined(root, files(root))
    assert sorted(looked_at) == ["dog/001.png", "dog/002.png"]


def test_what_could_not_be_read_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(file: Path, *_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("PIL.Image.open", failing)
        found = examined(root, files(root))
    assert {facts.problem for facts in found.values()} == {"cannot be read: Input/output error"}
    assert not any(facts.problem for facts in examined(root, files(root)).values())


def test_progress_is_told(root: Path) -> None:
    told: list[tuple[int, int, str]] = []
    examined(root, files(root), lambda done, total, note="": told.append((done, total, note)))
    assert [done for done, _, _ in told] == [1, 2, 3, 4, 5, 6]
    assert {total for _, total, _ in told} == {6}
