"""Finished stages: whole or not there, and never a flipped bit."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faults import contents, failing_at, flip_bit
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import CorruptFile, ResourceError
from pipeline.files import full_disk_is_an_error
from pipeline.model import Model
from pipeline.store import ENTRY, Entry, Store

KEY = "0123456789abcdef01234567"
FACTS = {"top1": 0.5, "note": "fine"}


def write(folder: Path, text: str = "weights") -> None:
    (folder / "weights.bin").write_bytes(text.encode() * 20)
    (folder / "sub").mkdir()
    (folder / "sub" / "more.json").write_text('{"a": 1}')


def put(store: Store, text: str = "weights") -> Entry:
    return store.put(KEY, lambda folder: write(folder, text), 1.5, FACTS)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.open()
    return store


def test_what_was_put_is_got(store: Store) -> None:
    assert store.get(KEY) is None
    put(store)
    entry = store.get(KEY)
    assert entry is not None
    assert (entry.key, entry.seconds, entry.facts) == (KEY, 1.5, FACTS)
    assert (entry.folder / "weights.bin").read_bytes() == b"weights" * 20


def test_putting_again_replaces(store: Store) -> None:
    put(store)
    put(store, "other")
    entry = store.get(KEY)
    assert entry is not None
    assert (entry.folder / "weights.bin").read_bytes() == b"other" * 20
    assert [path.name for path in store.root.iterdir()] == [KEY]


@given(file=st.sampled_from(["weights.bin", "sub/more.json", ENTRY]), position=st.integers(0, 10**5))
def test_one_flipped_bit_is_found_and_named(tmp_path_factory: pytest.TempPathFactory, file: str, position: int) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    folder = put(store).folder
    flip_bit(folder / file, position)
    with pytest.raises(CorruptFile) as caught:
        store.get(KEY)
    assert str(folder / file) in str(caught.value)


@pytest.mark.parametrize("file", ["weights.bin", "sub/more.json", ENTRY])
def test_a_missing_file_is_named(store: Store, file: str) -> None:
    folder = put(store).folder
    (folder / file).unlink()
    with pytest.raises(CorruptFile, match=file):
        store.get(KEY)


@pytest.mark.parametrize("text", ["", "[]", "[1, 2]", "null", '"seal"', "{}", '{"seal": 3}', '{"seal": 3, "a": NaN}'])
def test_an_entry_that_is_no_record_is_corrupt(store: Store, text: str) -> None:
    folder = put(store).folder
    (folder / ENTRY).write_text(text)
    with pytest.raises(CorruptFile, match=ENTRY):
        store.get(KEY)


@pytest.mark.parametrize(("name", "index"), [("fsync", 0), ("fsync", 2), ("fsync", 4), ("replace", 0)])
def test_a_full_disk_leaves_no_entry(store: Store, name: str, index: int) -> None:
    with failing_at(name, index), pytest.raises(ResourceError) as caught:
        put(store)
    assert caught.value.exit_code == 5
    assert store.get(KEY) is None
    assert contents(store.root) == {}


@pytest.mark.parametrize("index", range(7))
def test_a_full_disk_while_replacing_never_leaves_half_an_entry(store: Store, index: int) -> None:
    put(store)
    with failing_at("fsync", index), contextlib.suppress(ResourceError):
        put(store, "other")
    entry = store.get(KEY)
    assert entry is not None
    assert (entry.folder / "weights.bin").read_bytes() in (b"weights" * 20, b"other" * 20)


def test_an_error_while_saving_leaves_no_entry(store: Store) -> None:
    def broken(folder: Path) -> None:
        write(folder)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        store.put(KEY, broken, 1.0, {})
    assert contents(store.root) == {}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """The operating system refuses to let any file grow beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_model_that_does_not_fit_on_the_disk(store: Store, untrained: Model) -> None:
    with pytest.raises(ResourceError), largest_file(20_000), full_disk_is_an_error(store.root):
        store.put(KEY, untrained.save, 1.0, {})
    assert contents(store.root) == {}


def test_discard_forgets_one(store: Store) -> None:
    put(store)
    store.put("other", write, 1.0, {})
    store.discard(KEY)
    store.discard("never there")
    assert store.get(KEY) is None
    assert store.get("other") is not None
    assert [path.name for path in store.root.iterdir()] == ["other"]


def test_opening_removes_what_was_never_finished(store: Store) -> None:
    put(store)
    unfinished = store.root / ".tmp-123" / "sub"
    unfinished.mkdir(parents=True)
    (unfinished / "half.bin").write_bytes(b"half")
    checkpoint = store.checkpoint(KEY)
    checkpoint.mkdir(parents=True)
    (checkpoint / "training.safetensors").write_bytes(b"kept")
    before = {name for name in contents(store.root) if not name.startswith(".tmp-")}
    store.open()
    assert set(contents(store.root)) == before
    assert store.get(KEY) is not None


def test_a_checkpoint_is_kept_until_it_is_forgotten(store: Store) -> None:
    folder = store.checkpoint(KEY)
    folder.mkdir(parents=True)
    put(store)
    assert folder.is_dir()
    store.forget_checkpoint(KEY)
    store.forget_checkpoint(KEY)
    assert not folder.exists()
    assert store.get(KEY) is not None
